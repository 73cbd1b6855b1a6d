// SPDX-License-Identifier: Apache-2.0
//! The lines that `up` prints: how each public client is pointed at this instance.
//!
//! They are meant to be copied into a shell as they are, so each path is quoted where it needs to be, and none of them changes
//! what a client has stored about the public Sigstore (cosign's `initialize` would: it gets files instead).

use std::path::Path;

use crate::paths::shell_word;

/// What the lines are about.
pub(crate) struct Instance<'a> {
    pub(crate) url: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) data_dir: &'a Path,
}

/// One client and its lines.
pub(crate) struct ClientLines {
    pub(crate) client: &'static str,
    pub(crate) lines: Vec<String>,
}

impl Instance<'_> {
    /// The lines of every client, in the order to print.
    pub(crate) fn clients(&self) -> Vec<ClientLines> {
        vec![self.touchmark(), self.cosign(), self.sigstore_python(), self.sigstore_js()]
    }

    /// Quoted too: brackets of an IPv6 address mean something to some shells.
    fn mirror(&self) -> String {
        shell_word(&format!("{}/tuf", self.url)).into_owned()
    }

    fn client_file(&self, name: &str) -> String {
        let path = self.data_dir.join("client").join(name);
        shell_word(&path.to_string_lossy()).into_owned()
    }

    fn touchmark(&self) -> ClientLines {
        let (mirror, issuer) = (self.mirror(), shell_word(self.issuer));
        let root = self.client_file("root.json");
        let data_dir = self.data_dir.to_string_lossy();
        let data_dir = shell_word(&data_dir);
        ClientLines {
            client: "touchmark",
            lines: vec![
                format!("export SIGSTORE_ID_TOKEN=$(touchmark token --data-dir {data_dir} --email alice@example.com)"),
                format!("touchmark initialize --mirror {mirror} --root {root}"),
                "touchmark sign-blob README.md".to_owned(),
                format!(
                    "touchmark verify-blob README.md --certificate-identity alice@example.com \
                     --certificate-oidc-issuer {issuer}"
                ),
            ],
        }
    }

    fn cosign(&self) -> ClientLines {
        let issuer = shell_word(self.issuer);
        let trusted_root = self.client_file("trusted_root.json");
        let signing_config = self.client_file("signing_config.json");
        ClientLines {
            client: "cosign 3",
            lines: vec![
                format!(
                    "cosign sign-blob --signing-config {signing_config} --trusted-root {trusted_root} \
                     --identity-token \"$SIGSTORE_ID_TOKEN\" --bundle README.md.sigstore.json -y README.md"
                ),
                format!(
                    "cosign verify-blob --trusted-root {trusted_root} --bundle README.md.sigstore.json \
                     --certificate-identity alice@example.com --certificate-oidc-issuer {issuer} README.md"
                ),
            ],
        }
    }

    fn sigstore_python(&self) -> ClientLines {
        let issuer = shell_word(self.issuer);
        let config = self.client_file("client_trust_config.json");
        ClientLines {
            client: "sigstore-python",
            lines: vec![
                format!(
                    "sigstore --trust-config {config} sign --identity-token \"$SIGSTORE_ID_TOKEN\" \
                     --bundle README.md.sigstore.json --overwrite README.md"
                ),
                format!(
                    "sigstore --trust-config {config} verify identity --bundle README.md.sigstore.json \
                     --cert-identity alice@example.com --cert-oidc-issuer {issuer} README.md"
                ),
            ],
        }
    }

    fn sigstore_js(&self) -> ClientLines {
        let (mirror, issuer) = (self.mirror(), shell_word(self.issuer));
        let root = self.client_file("root.json");
        let cache = self.client_file("js-cache");
        ClientLines {
            client: "sigstore-js (its command line verifies)",
            lines: vec![
                format!("npx @sigstore/cli initialize --mirror {mirror} --root {root} --cache-path {cache}"),
                format!(
                    "npx @sigstore/cli verify --tuf-mirror-url {mirror} --tuf-root-path {root} --tuf-cache-path {cache} \
                     --certificate-issuer {issuer} --certificate-identity-email alice@example.com \
                     --blob-file README.md README.md.sigstore.json"
                ),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_ready_to_paste() {
        let instance = Instance {
            url: "http://127.0.0.1:7700",
            issuer: "http://127.0.0.1:7701/oidc",
            data_dir: Path::new("/home/ann o'neil/touchmark"),
        };
        let clients = instance.clients();
        assert_eq!(clients.len(), 4);
        for line in clients.iter().flat_map(|client| &client.lines) {
            assert!(!line.contains('\n') && !line.contains("  "), "{line}");
            assert!(!line.contains("neil") || line.contains(r"'/home/ann o'\''neil/touchmark"), "{line}");
        }
    }
}
