// SPDX-License-Identifier: Apache-2.0
//! What every command that signs needs: whose signature it is, which services make it, and under which trust.
//!
//! In scope: the arguments, the login, one certificate for as many signatures as it lasts. Out of scope: what is signed, and where
//! bundles go. Invariant: nothing is sent to an instance that the user did not name.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use jiff::Timestamp;
use touchmark_client::fulcio::CertifiedIdentity;
use touchmark_client::identity::{IdentityToken, browser};
use touchmark_client::sign::{Credential, SignedBundle, Signing, Subject, certify, sign};
use touchmark_client::trust::{Freshness, read_signing_config, read_trusted_root};
use touchmark_outbound::Outbound;
use touchmark_sigstore::trust::{Services, SigningConfig, TrustedRoot};

use crate::env_vars;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::trust::{TrustArgs, open};
use crate::verifying::AlwaysOn;

#[derive(Debug, clap::Args)]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    identity: IdentityArgs,
    /// Signing config file; without it that of the initialised TUF repository is used
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// Do not ask before the signature is published
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    _cosign_defaults: CosignDefaults,
}

#[derive(Debug, clap::Args)]
struct CosignDefaults {
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    new_bundle_format: Option<AlwaysOn>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    use_signing_config: Option<AlwaysOn>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlog_upload: Option<AlwaysOn>,
}

#[derive(Debug, clap::Args)]
struct IdentityArgs {
    /// Identity token, or a file that holds one; without it a browser login is started
    #[arg(long, value_name = "TOKEN|FILE", env = env_vars::SIGSTORE_ID_TOKEN, hide_env_values = true)]
    identity_token: Option<String>,
    /// OpenID Connect issuer to log in at [default: the signing config's]
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// OAuth client id to log in with
    #[arg(long, value_name = "ID", default_value = "sigstore")]
    oidc_client_id: String,
}

/// Logged in, and ready to sign.
pub(crate) struct Session {
    outbound: Outbound,
    trusted_root: TrustedRoot,
    services: Services,
    token: IdentityToken,
    credential: Option<Credential>,
}

impl SigningArgs {
    /// Refuses what cannot lead to a signature before any file is read.
    pub(crate) fn expect_online(&self) -> Result<&Self, Failure> {
        if self.trust.offline {
            return Err(Failure::new(ExitStatus::Usage, "signing needs the network: --offline is for verifying"));
        }
        Ok(self)
    }

    /// What a command that verifies has to be told to use the same trust.
    pub(crate) fn flags_to_verify(&self) -> String {
        self.trust.flags_to_verify()
    }

    /// Chooses the services and gets a token.
    pub(crate) async fn log_in(&self, printer: Printer) -> Result<Session, Failure> {
        let outbound = self.trust.store.outbound()?;
        let (trusted_root, signing_config) = trust(self, &outbound, printer).await?;
        let services = select(&signing_config)?;
        let token = token(self, &services, &outbound, printer).await?;
        Ok(Session::new(outbound, trusted_root, services, token))
    }
}

impl Session {
    pub(crate) fn new(outbound: Outbound, trusted_root: TrustedRoot, services: Services, token: IdentityToken) -> Self {
        Self { outbound, trusted_root, services, token, credential: None }
    }

    /// One signature, with a certificate that lasts long enough for it.
    pub(crate) async fn sign(&mut self, subject: Subject<'_>) -> Result<Signed, Failure> {
        let signing = Signing { outbound: &self.outbound, trusted_root: &self.trusted_root, services: &self.services };
        let usable = self.credential.take().filter(|credential| credential.is_usable_at(Timestamp::now()));
        let credential = match usable {
            Some(credential) => credential,
            None => certify(&signing, &self.token).await?,
        };
        let signed = sign(&signing, &credential, subject).await?;
        let identity = credential.issued().identity().clone();
        self.credential = Some(credential);
        Ok(Signed { bundle: signed, identity })
    }
}

/// A bundle, and who signed it.
pub(crate) struct Signed {
    pub(crate) bundle: SignedBundle,
    pub(crate) identity: CertifiedIdentity,
}

/// From files where they are named, else from TUF; TUF is not touched when both are.
async fn trust(
    args: &SigningArgs,
    outbound: &Outbound,
    printer: Printer,
) -> Result<(TrustedRoot, SigningConfig), Failure> {
    if let (Some(root), Some(config)) = (&args.trust.trusted_root, &args.signing_config) {
        return Ok((read_trusted_root(root)?, read_signing_config(config)?));
    }
    let store = args.trust.store.store()?;
    let mut repository = open(&store, Freshness::Refresh(outbound), printer).await?;
    let trusted_root = match &args.trust.trusted_root {
        Some(path) => read_trusted_root(path)?,
        None => repository.trusted_root().await?,
    };
    let signing_config = match &args.signing_config {
        Some(path) => read_signing_config(path)?,
        None => repository.signing_config().await?,
    };
    Ok((trusted_root, signing_config))
}

pub(crate) fn select(config: &SigningConfig) -> Result<Services, Failure> {
    config.select(Timestamp::now()).map_err(|error| {
        Failure::from_error(ExitStatus::TrustRoot, &error).hint("the signing config does not offer what signing needs")
    })
}

/// The token that was given, or one from a login if somebody is there to log in.
async fn token(
    args: &SigningArgs,
    services: &Services,
    outbound: &Outbound,
    printer: Printer,
) -> Result<IdentityToken, Failure> {
    // CI systems set variables to nothing rather than not at all.
    if let Some(argument) = args.identity.identity_token.as_deref().filter(|text| !text.trim().is_empty()) {
        return Ok(IdentityToken::from_argument(argument)?);
    }
    let in_ci = std::env::var_os(env_vars::CI).is_some_and(|value| !value.is_empty() && value != "false");
    if in_ci || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(ExitStatus::Usage, "no identity token, and nobody at a terminal to log in")
            .hint(format!("pass --identity-token, or set {}", env_vars::SIGSTORE_ID_TOKEN))
            .hint("for the try-out issuer of `touchmark up`: --identity-token \"$(touchmark token --email alice@example.com)\""));
    }
    let issuer =
        args.identity.oidc_issuer.as_deref().or(services.oidc.as_ref().map(|service| service.url())).ok_or_else(
            || {
                Failure::new(ExitStatus::Usage, "the signing config names no issuer to log in at")
                    .hint("pass --oidc-issuer URL")
            },
        )?;
    if !args.yes && !confirm(printer) {
        return Err(Failure::new(ExitStatus::Usage, "not signed, as you asked"));
    }
    let login = browser::login(outbound, issuer, &args.identity.oidc_client_id, |url| {
        printer.heading("Open this address to log in:");
        printer.command(url);
    });
    Ok(login.await?)
}

/// A published identity cannot be taken back: ask, as cosign does.
fn confirm(printer: Printer) -> bool {
    printer.note("Your identity (such as your e-mail address) and this signature will be published in logs that keep them for ever.");
    let _ = write!(std::io::stderr(), "Go on? [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}
