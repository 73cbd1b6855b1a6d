// SPDX-License-Identifier: Apache-2.0
//! What anybody may know of the trust root, on one page: versions, who signs, until when, and what ends soon.
//!
//! In scope: `GET /` of the listener that serves the repository, as HTML for people and as JSON for programs. Out of scope: the metadata themselves
//! ([`super::serve`]); what a client concludes from them, which verifies them and believes no page.
//! Invariants: nothing is here that the public metadata do not say; what ends soon is what the log, the metrics and `trust doctor` announce; a page never
//! waits for a signature.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};
use touchmark_sequencer::Clock;
use touchmark_trust::lint::ends_soon;

use crate::deps::timestamp;
use crate::http::json_response;
use crate::http::page::{escape, html_page};

const STYLE: &str = "body{font:16px system-ui,sans-serif;max-width:60em;margin:3em auto;padding:0 1em}table{border-collapse:collapse}\
th,td{text-align:left;vertical-align:top;padding:.4em 1em .4em 0;border-bottom:1px solid #ccc}\
.warning{border:3px solid #b60;padding:.7em 1em}.ended{border:3px solid #b00;padding:.7em 1em}code{overflow-wrap:anywhere}";

/// The roles of a repository as it was last read: root, targets, snapshot, timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) roles: [RoleOverview; 4],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleOverview {
    pub(crate) role: &'static str,
    pub(crate) version: u64,
    pub(crate) expires: Timestamp,
    /// How many of the holders have to sign.
    pub(crate) threshold: u32,
    pub(crate) holders: Vec<Holder>,
}

/// Who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// As the root says it, if it does.
    pub(crate) name: Option<String>,
    pub(crate) key_id: String,
}

/// What is shown now. Clones show the same.
#[derive(Clone)]
pub(crate) struct Shown(Arc<RwLock<Arc<Overview>>>);

impl Shown {
    pub(crate) fn new(overview: Overview) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(overview))))
    }

    pub(super) fn show(&self, overview: Overview) {
        // Nothing panics while the lock is held.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(overview);
    }

    fn now(&self) -> Arc<Overview> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Clone)]
struct Site {
    shown: Shown,
    clock: Arc<dyn Clock>,
}

/// The page at `/`.
pub(crate) fn router(shown: Shown, clock: Arc<dyn Clock>) -> Router {
    Router::new().route("/", get(overview)).with_state(Site { shown, clock })
}

async fn overview(State(site): State<Site>, headers: HeaderMap) -> Response {
    let (overview, now) = (site.shown.now(), timestamp(site.clock.as_ref()));
    let mut response = match Format::of(&headers) {
        Format::Html => html_page(200, "Trust root", STYLE, &html(&overview, now), "'none'"),
        Format::Json => json_response(200, &as_json(&overview, now)),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Html,
    Json,
}

impl Format {
    /// The first of the two that is named: browsers name HTML. Who names neither is a program.
    fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types =
            accepted.flat_map(|value| value.split(',')).map(|part| part.split(';').next().unwrap_or_default().trim());
        types
            .find_map(|name| match name.to_ascii_lowercase().as_str() {
                "text/html" => Some(Self::Html),
                "application/json" => Some(Self::Json),
                _ => None,
            })
            .unwrap_or(Self::Json)
    }
}

/// How it is about a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    /// Its holders have to sign soon.
    EndsSoon,
    Ended,
}

impl Standing {
    fn of(role: &RoleOverview, now: Timestamp) -> Self {
        // The online roles are signed anew by the server, long before.
        let is_of_the_holders = matches!(role.role, "root" | "targets");
        match role.expires {
            expires if expires <= now => Self::Ended,
            expires if is_of_the_holders && ends_soon(expires, now) => Self::EndsSoon,
            _ => Self::Good,
        }
    }

    /// Its name for programs.
    fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::EndsSoon => "ends-soon",
            Self::Ended => "ended",
        }
    }
}

fn as_json(overview: &Overview, now: Timestamp) -> Value {
    let role = |role: &RoleOverview| {
        let holder = |holder: &Holder| json!({ "name": holder.name, "key_id": holder.key_id });
        json!({
            "role": role.role,
            "version": role.version,
            "expires": role.expires.to_string(),
            "standing": Standing::of(role, now).name(),
            "threshold": role.threshold,
            "holders": role.holders.iter().map(holder).collect::<Vec<_>>(),
        })
    };
    json!({ "time": now.to_string(), "roles": overview.roles.iter().map(role).collect::<Vec<_>>() })
}

fn html(overview: &Overview, now: Timestamp) -> String {
    let mut body = "<h1>Trust root</h1>".to_owned();
    for role in &overview.roles {
        let (name, expires) = (role.role, role.expires);
        let _infallible = match Standing::of(role, now) {
            Standing::Good => Ok(()),
            Standing::EndsSoon => write!(
                body,
                "<p class=warning><strong>{name}</strong> ends at {expires}, in {} days: its holders have to sign before that.</p>",
                expires.duration_since(now).as_hours() / 24
            ),
            Standing::Ended => {
                write!(
                    body,
                    "<p class=ended><strong>{name}</strong> ended at {expires}: clients refuse everything.</p>"
                )
            }
        };
    }
    body.push_str("<table><tr><th>role<th>version<th>valid until<th>who may sign");
    overview.roles.iter().for_each(|role| row(&mut body, role));
    let root = overview.roles[0].version;
    let _infallible = write!(
        body,
        "</table><p>The metadata are at <a href=\"tuf/timestamp.json\">tuf/timestamp.json</a>, the newest root at \
         <a href=\"tuf/{root}.root.json\">tuf/{root}.root.json</a>. This page proves nothing: a client verifies them, from a root that it \
         was given by another way. As of {now}.</p>"
    );
    body
}

fn row(body: &mut String, role: &RoleOverview) {
    let RoleOverview { role, version, expires, threshold, holders } = role;
    let _infallible = write!(body, "<tr><td>{role}<td>{version}<td>{expires}<td>{threshold} of {}:<ul>", holders.len());
    for Holder { name, key_id } in holders {
        let _infallible = match name {
            Some(name) => write!(body, "<li>{} <code>{}</code>", escape(name), escape(key_id)),
            None => write!(body, "<li><code>{}</code>", escape(key_id)),
        };
    }
    body.push_str("</ul>");
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use http_body_util::BodyExt;
    use jiff::SignedDuration;
    use touchmark_trust::lint::WARN_DAYS;
    use tower::ServiceExt;

    use super::*;
    use crate::tuf::Kept;
    use crate::tuf::held::tests::Held;

    struct Fixed(Timestamp);

    impl Clock for Fixed {
        fn now_ms(&self) -> u64 {
            u64::try_from(self.0.as_millisecond()).unwrap()
        }
    }

    fn example(expires: [&str; 4], name: &str) -> Overview {
        let mut expires = expires.into_iter();
        let roles = ["root", "targets", "snapshot", "timestamp"].map(|role| RoleOverview {
            role,
            version: 7,
            expires: expires.next().unwrap().parse().unwrap(),
            threshold: 2,
            holders: vec![Holder { name: Some(name.to_owned()), key_id: "ab".repeat(32) }],
        });
        Overview { roles }
    }

    async fn ask(overview: &Overview, now: &str, accept: Option<&str>) -> (HeaderMap, String) {
        let router = router(Shown::new(overview.clone()), Arc::new(Fixed(now.parse().unwrap())));
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        request.headers_mut().extend(accept.map(|accept| (ACCEPT, HeaderValue::from_str(accept).unwrap())));
        let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
        assert_eq!(parts.status, 200);
        (parts.headers, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    const LONG: [&str; 4] =
        ["2027-11-23T10:00:00Z", "2027-11-23T10:00:00Z", "2027-02-21T10:00:00Z", "2026-11-30T10:00:00Z"];
    const NOW: &str = "2026-11-24T10:00:00Z";

    #[tokio::test]
    async fn people_get_a_page_and_programs_json() {
        let overview = example(LONG, "ann");
        for (accept, html) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("application/json, text/html"), false),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), true),
            (Some("Text/HTML;q=1, application/json"), true),
        ] {
            let (headers, body) = ask(&overview, NOW, accept).await;
            let expect = HeaderValue::from_static(if html { "text/html; charset=utf-8" } else { "application/json" });
            let vary = HeaderValue::from_static("accept");
            assert_eq!((&headers["content-type"], &headers["vary"]), (&expect, &vary), "{accept:?}");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(serde_json::from_str::<Value>(&body).is_ok(), !html);
        }
    }

    #[tokio::test]
    async fn the_page_runs_nothing_loads_nothing_and_escapes_names() {
        let (headers, body) = ask(&example(LONG, "<script>alert(1)</script>&\"'"), NOW, Some("text/html")).await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "style-src 'sha256-",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!body.contains("<script") && body.contains("&lt;script&gt;"), "{body}");
        assert!(!body.contains("src=") && !body.contains("http"), "{body}");
    }

    #[tokio::test]
    async fn what_ends_is_announced_as_early_as_the_log_announces_it() {
        let now: Timestamp = NOW.parse().unwrap();
        let window = SignedDuration::from_hours(24 * WARN_DAYS);
        let second = SignedDuration::from_secs(1);
        for (ends, standing, shown) in [
            (now + window + second, "good", false),
            (now + window, "ends-soon", true),
            (now + second, "ends-soon", true),
            (now, "ended", true),
        ] {
            for at in [0, 1] {
                let text = ends.to_string();
                let mut expires = LONG;
                expires[at] = &text;
                let overview = example(expires, "ann");
                let (_, body) = ask(&overview, NOW, None).await;
                let read: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(read["roles"][at]["standing"], standing, "{ends}");
                // A timestamp is always near its end.
                assert_eq!(read["roles"][3]["standing"], "good");
                let (_, body) = ask(&overview, NOW, Some("text/html")).await;
                assert_eq!(body.contains("<p class=warning>") || body.contains("<p class=ended>"), shown, "{ends}");
            }
        }
    }

    #[tokio::test]
    async fn it_says_what_the_metadata_say() {
        let held = Held::new().await;
        let overview = held.open().overview();
        let (_, body) = ask(&overview, NOW, None).await;
        let read: Value = serde_json::from_str(&body).unwrap();
        let root: Value = serde_json::from_slice(&std::fs::read(held.path().join("1.root.json")).unwrap()).unwrap();
        for role in read["roles"].as_array().unwrap() {
            let stated = &root["signed"]["roles"][role["role"].as_str().unwrap()];
            assert_eq!(role["threshold"], stated["threshold"]);
            let ids: Vec<&Value> = role["holders"].as_array().unwrap().iter().map(|holder| &holder["key_id"]).collect();
            assert_eq!(ids, stated["keyids"].as_array().unwrap().iter().collect::<Vec<_>>());
        }
        assert_eq!(read["roles"][0]["expires"], root["signed"]["expires"]);
        assert_eq!(read["roles"][0]["holders"][0]["name"], "ann");
        assert_eq!(read["roles"][3]["holders"][0]["name"], "online");
    }
}
