// SPDX-License-Identifier: Apache-2.0
//! Names of keys in tokens: `pkcs11:` URIs.
//!
//! Spec: RFC 7512 §2.3 (syntax), §2.4 (matching: what is left out matches anything), §7.5 (PINs in URIs).
//! In scope: what chooses a token (`token`, `manufacturer`, `model`, `serial`), what chooses a key in it (`object`, `id`, `type`), and where
//! the module and the PIN are (`module-path`, `pin-source`). Out of scope: everything else of the RFC, which is refused rather than ignored,
//! because an attribute that is ignored lets another key match.
//! Invariants: a [`Pkcs11Uri`] names a token and a key in it, and holds no secret.

use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Longest URI: file systems allow paths of 4096 bytes, and two of them may be inside.
const URI_BYTES_MAX: usize = 16 * 1024;

/// Which key of which token, and how to come to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pkcs11Uri {
    pub(super) token: TokenMatch,
    /// `CKA_LABEL`.
    pub(super) object: Option<Vec<u8>>,
    /// `CKA_ID`.
    pub(super) id: Option<Vec<u8>>,
    pub(super) module_path: PathBuf,
    pub(super) pin_source: Option<PinSource>,
    /// The path of the URI as it was written: a name for messages.
    path: String,
}

/// What a token must be called; what is left out matches anything.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct TokenMatch {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
}

/// Where the user's PIN is read from, at each login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PinSource {
    /// Its content without the final line end; readable by its owner alone.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
}

/// Why a `pkcs11:` URI is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Pkcs11UriError {
    #[error("is longer than {URI_BYTES_MAX} bytes")]
    TooLong,
    #[error("`{attribute}` is no pair of name and value")]
    NoPair { attribute: String },
    #[error("the value of `{attribute}` is not percent-encoded UTF-8 text (only `id` may hold other bytes)")]
    Encoding { attribute: String },
    #[error("`{attribute}` stands there twice")]
    Twice { attribute: String },
    #[error(
        "`{attribute}` is not supported: a token is chosen by token, manufacturer, model and serial, its key by object and id, and after the question mark are module-path and pin-source"
    )]
    Unknown { attribute: String },
    #[error(
        "`pin-value` would put the PIN into the configuration and its backups: write it into a file and name that with `pin-source=file:/…`, or an environment variable with `pin-source=env:NAME`"
    )]
    PinValue,
    #[error("`pin-source` must be `file:` and a path, or `env:` and the name of an environment variable")]
    PinSource,
    #[error("`type` must be `private` or left out")]
    Type,
    #[error("names no token: add `token=` with its label or `serial=`")]
    NoToken,
    #[error("names no key: add `object=` with its label or `id=`")]
    NoKey,
    #[error("names no module: add `?module-path=` with the absolute path of the PKCS#11 library")]
    NoModule,
}

impl Pkcs11Uri {
    pub(crate) const SCHEME: &str = "pkcs11:";

    /// Reads a URI; a relative path of a PIN file starts at `directory`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, Pkcs11UriError> {
        if text.len() > URI_BYTES_MAX {
            return Err(Pkcs11UriError::TooLong);
        }
        let rest = text.strip_prefix(Self::SCHEME).unwrap_or(text);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut attributes = Attributes::default();
        for pair in path.split(';').filter(|pair| !pair.is_empty()) {
            attributes.path(pair)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            attributes.query(pair, directory)?;
        }
        let Attributes { token, object, id, module_path, pin_source, .. } = attributes;
        if token.token.is_none() && token.serial.is_none() {
            return Err(Pkcs11UriError::NoToken);
        }
        if object.is_none() && id.is_none() {
            return Err(Pkcs11UriError::NoKey);
        }
        let module_path = module_path.filter(|path| path.is_absolute()).ok_or(Pkcs11UriError::NoModule)?;
        Ok(Self { token, object, id, module_path, pin_source, path: path.to_owned() })
    }
}

/// The path of the URI alone: which key of which token.
impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::SCHEME, self.path)
    }
}

impl fmt::Debug for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What has been read of a URI so far.
#[derive(Default)]
struct Attributes {
    token: TokenMatch,
    object: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
    key_type: Option<String>,
    module_path: Option<PathBuf>,
    pin_source: Option<PinSource>,
}

impl Attributes {
    fn path(&mut self, pair: &str) -> Result<(), Pkcs11UriError> {
        let (name, value) = split(pair)?;
        match name {
            "token" => once(&mut self.token.token, name, text(name, value)?),
            "manufacturer" => once(&mut self.token.manufacturer, name, text(name, value)?),
            "model" => once(&mut self.token.model, name, text(name, value)?),
            "serial" => once(&mut self.token.serial, name, text(name, value)?),
            "object" => once(&mut self.object, name, text(name, value)?.into_bytes()),
            "id" => once(&mut self.id, name, bytes(name, value)?),
            "type" if value == "private" => once(&mut self.key_type, name, value.to_owned()),
            "type" => Err(Pkcs11UriError::Type),
            _ => Err(Pkcs11UriError::Unknown { attribute: name.to_owned() }),
        }
    }

    fn query(&mut self, pair: &str, directory: &Path) -> Result<(), Pkcs11UriError> {
        let (name, value) = split(pair)?;
        match name {
            "module-path" => once(&mut self.module_path, name, text(name, value)?.into()),
            "pin-source" => once(&mut self.pin_source, name, pin_source(&text(name, value)?, directory)?),
            "pin-value" => Err(Pkcs11UriError::PinValue),
            _ => Err(Pkcs11UriError::Unknown { attribute: name.to_owned() }),
        }
    }
}

fn split(pair: &str) -> Result<(&str, &str), Pkcs11UriError> {
    pair.split_once('=').ok_or_else(|| Pkcs11UriError::NoPair { attribute: pair.to_owned() })
}

/// No attribute may stand twice (RFC 7512 §2.3).
fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), Pkcs11UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Pkcs11UriError::Twice { attribute: name.to_owned() }),
    }
}

fn text(name: &str, value: &str) -> Result<String, Pkcs11UriError> {
    String::from_utf8(bytes(name, value)?).map_err(|_| encoding(name))
}

/// The decoder leaves a stray percent sign as it is; here it is an error.
fn bytes(name: &str, value: &str) -> Result<Vec<u8>, Pkcs11UriError> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let encoded = value.as_bytes();
    let percents = encoded.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    for at in percents {
        if !is_hex(encoded.get(at + 1)) || !is_hex(encoded.get(at + 2)) {
            return Err(encoding(name));
        }
    }
    let decoded: Vec<u8> = percent_decode_str(value).collect();
    if decoded.is_empty() { Err(encoding(name)) } else { Ok(decoded) }
}

fn encoding(name: &str) -> Pkcs11UriError {
    Pkcs11UriError::Encoding { attribute: name.to_owned() }
}

/// RFC 7512 §2.4 leaves the form to the application; a command (`|…`) is never run.
fn pin_source(value: &str, directory: &Path) -> Result<PinSource, Pkcs11UriError> {
    let is_name = |name: &str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    match value.split_once(':') {
        Some(("file", path)) if !path.is_empty() => {
            // `file:///run/pin` is the same file as `file:/run/pin`.
            let path = path.strip_prefix("//").unwrap_or(path);
            Ok(PinSource::File(directory.join(path)))
        }
        Some(("env", name)) if is_name(name) => Ok(PinSource::Environment(name.to_owned())),
        _ => Err(Pkcs11UriError::PinSource),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Pkcs11Uri, Pkcs11UriError> {
        Pkcs11Uri::parse(text, Path::new("/etc/touchmark"))
    }

    #[test]
    fn every_supported_attribute_is_read() {
        let uri = parse(
            "pkcs11:token=My%20token;manufacturer=M;model=A%3bB;serial=0123;object=ca%c3%a9;id=%00%fFx;type=private?module-path=/usr/lib/p11.so&pin-source=file:pin",
        )
        .unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert!(
            uri.token
                == TokenMatch {
                    token: some("My token"),
                    manufacturer: some("M"),
                    model: some("A;B"),
                    serial: some("0123")
                }
        );
        assert_eq!(uri.object.as_deref(), Some("caé".as_bytes()));
        assert_eq!(uri.id.as_deref(), Some(b"\x00\xffx".as_slice()));
        assert_eq!(uri.module_path, Path::new("/usr/lib/p11.so"));
        assert_eq!(uri.pin_source, Some(PinSource::File("/etc/touchmark/pin".into())));
        assert_eq!(
            uri.to_string(),
            "pkcs11:token=My%20token;manufacturer=M;model=A%3bB;serial=0123;object=ca%c3%a9;id=%00%fFx;type=private"
        );
    }

    #[test]
    fn pins_come_from_files_and_environment_variables() {
        for (source, expect) in [
            ("file:/run/pin", Ok(Some(PinSource::File("/run/pin".into())))),
            ("file:///run/pin", Ok(Some(PinSource::File("/run/pin".into())))),
            ("file:%2Frun%2Fa%20pin", Ok(Some(PinSource::File("/run/a pin".into())))),
            ("env:HSM_PIN", Ok(Some(PinSource::Environment("HSM_PIN".into())))),
            ("file:", Err(Pkcs11UriError::PinSource)),
            ("env:", Err(Pkcs11UriError::PinSource)),
            ("env:A=B", Err(Pkcs11UriError::PinSource)),
            ("env:1A", Err(Pkcs11UriError::PinSource)),
            ("/run/pin", Err(Pkcs11UriError::PinSource)),
            ("|cat%20/run/pin", Err(Pkcs11UriError::PinSource)),
            ("https://example.com/pin", Err(Pkcs11UriError::PinSource)),
        ] {
            let uri = parse(&format!("pkcs11:token=t;object=o?module-path=/m&pin-source={source}"));
            assert_eq!(uri.map(|uri| uri.pin_source), expect, "{source}");
        }
    }

    #[test]
    fn what_does_not_name_exactly_one_key_is_refused() {
        use Pkcs11UriError::{Encoding, NoKey, NoModule, NoPair, NoToken, PinValue, TooLong, Twice, Type, Unknown};
        let named = |name: &str| name.to_owned();
        for (text, expect) in [
            ("pkcs11:", NoToken),
            ("pkcs11:object=o?module-path=/m", NoToken),
            ("pkcs11:model=x;object=o?module-path=/m", NoToken),
            ("pkcs11:token=t?module-path=/m", NoKey),
            ("pkcs11:token=t;object=o", NoModule),
            ("pkcs11:token=t;object=o?module-path=p11.so", NoModule),
            ("pkcs11:token=t;object=o?module-path=/m&pin-value=1234", PinValue),
            ("pkcs11:token=t;object=o;type=public?module-path=/m", Type),
            ("pkcs11:token=t;object=o;slot-id=1?module-path=/m", Unknown { attribute: named("slot-id") }),
            ("pkcs11:token=t;object=o;x-vendor=1?module-path=/m", Unknown { attribute: named("x-vendor") }),
            ("pkcs11:token=t;object=o?module-name=p11", Unknown { attribute: named("module-name") }),
            ("pkcs11:token=t;token=u;object=o?module-path=/m", Twice { attribute: named("token") }),
            ("pkcs11:token=t;object=o?module-path=/m&module-path=/n", Twice { attribute: named("module-path") }),
            ("pkcs11:token=t;object", NoPair { attribute: named("object") }),
            ("pkcs11:token=;object=o?module-path=/m", Encoding { attribute: named("token") }),
            ("pkcs11:token=%;object=o?module-path=/m", Encoding { attribute: named("token") }),
            ("pkcs11:token=%4;object=o?module-path=/m", Encoding { attribute: named("token") }),
            ("pkcs11:token=%zz;object=o?module-path=/m", Encoding { attribute: named("token") }),
            ("pkcs11:token=%ff;object=o?module-path=/m", Encoding { attribute: named("token") }),
            (&format!("pkcs11:token={}", "t".repeat(URI_BYTES_MAX)), TooLong),
        ] {
            assert_eq!(parse(text), Err(expect), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(text in ".{0,200}") {
            let _ = parse(&format!("pkcs11:{text}"));
        }

        #[test]
        fn ids_go_there_and_back(id in proptest::collection::vec(any::<u8>(), 1..40)) {
            let encoded: String = id.iter().map(|byte| format!("%{byte:02x}")).collect();
            let uri = parse(&format!("pkcs11:token=t;id={encoded}?module-path=/m")).unwrap();
            prop_assert_eq!(uri.id, Some(id));
        }
    }
}
