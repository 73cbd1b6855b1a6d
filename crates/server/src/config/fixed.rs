// SPDX-License-Identifier: Apache-2.0
//! The settings that a running process cannot take up: all but those that a reload is about.
//!
//! In scope: which keys of the file those are. Out of scope: reloading (`crate::instance`).
//! Invariant: a key that nobody thought of here needs a restart.

/// The keys of `[tls]` that a reload takes up. Whether it is there is for the start.
const OF_TLS: [&str; 2] = ["chain", "key"];
/// The keys of `[fulcio]` that a reload takes up.
const OF_FULCIO: [&str; 8] = [
    "key",
    "chain",
    "previous_chains",
    "issuer",
    "ci_provider",
    "authorize",
    "fulcio_config",
    "fulcio_config_transport",
];
/// The keys of `[tsa]` that a reload takes up.
const OF_TSA: [&str; 3] = ["key", "chain", "previous_chains"];
/// The keys of a `[[ctlog]]` that a reload takes up.
const OF_CTLOG: [&str; 1] = ["accepted_roots"];

/// What of a configuration file needs a restart, as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FixedSettings(toml::Table);

impl FixedSettings {
    /// Of the text of a configuration file that was read.
    pub(super) fn of(text: &str) -> Self {
        let mut settings: toml::Table = toml::from_str(text).unwrap_or_default();
        if let Some(toml::Value::Table(tls)) = settings.get_mut("tls") {
            tls.retain(|key, _| !OF_TLS.contains(&key));
        }
        if let Some(toml::Value::Table(fulcio)) = settings.get_mut("fulcio") {
            fulcio.retain(|key, _| !OF_FULCIO.contains(&key));
        }
        if let Some(toml::Value::Table(tsa)) = settings.get_mut("tsa") {
            tsa.retain(|key, _| !OF_TSA.contains(&key));
        }
        if let Some(toml::Value::Array(logs)) = settings.get_mut("ctlog") {
            for log in logs.iter_mut().filter_map(toml::Value::as_table_mut) {
                log.retain(|key, _| !OF_CTLOG.contains(&key));
            }
        }
        Self(settings)
    }

    /// The first key or section of the file that differs.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<String> {
        let mut keys = self.0.keys().chain(other.0.keys());
        keys.find(|key| self.0.get(*key) != other.0.get(*key)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_takes_up_may_differ_and_nothing_else() {
        let base = "listen = \"127.0.0.1:1\"\n[tls]\nchain = \"t\"\nkey = \"t\"\n[fulcio]\nkey = \"a\"\nchain = \"a\"\nct_log = { name = \"a\" }\n[[ctlog]]\nname = \"a\"\naccepted_roots = \"a\"\n[tsa]\nkey = \"c\"\nchain = \"c\"\n";
        let changed = |from: &str, to: &str| {
            assert!(base.contains(from), "{from}");
            FixedSettings::of(base).first_difference(&FixedSettings::of(&base.replacen(from, to, 1)))
        };
        for (from, to) in [
            ("key = \"a\"", "key = \"b\""),
            ("chain = \"a\"", "chain = \"b\"\nprevious_chains = [\"a\"]"),
            ("[[ctlog]]", "[[fulcio.issuer]]\nurl = \"a\"\n[[ctlog]]"),
            ("accepted_roots = \"a\"", "accepted_roots = \"b\""),
            ("key = \"c\"\nchain = \"c\"", "key = \"d\"\nchain = \"d\"\nprevious_chains = [\"c\"]"),
            ("chain = \"t\"\nkey = \"t\"", "chain = \"u\"\nkey = \"u\""),
            ("[fulcio]", "# a comment\n[fulcio]"),
        ] {
            assert_eq!(changed(from, to), None, "{to}");
        }
        for (from, to, section) in [
            ("127.0.0.1:1", "127.0.0.1:2", "listen"),
            ("name = \"a\" }", "name = \"b\" }", "fulcio"),
            ("[[ctlog]]\nname = \"a\"", "[[ctlog]]\nname = \"b\"", "ctlog"),
            ("[tsa]", "[tsa]\npolicies = [\"1.2.3\"]", "tsa"),
            ("[tsa]", "[tsa]\ntime_file = \"t\"", "tsa"),
            ("[tls]\nchain = \"t\"\nkey = \"t\"\n", "", "tls"),
            ("listen", "metrics_listen = \"127.0.0.1:3\"\nlisten", "metrics_listen"),
        ] {
            assert_eq!(changed(from, to).as_deref(), Some(section), "{to}");
        }
    }
}
