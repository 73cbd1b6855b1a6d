// SPDX-License-Identifier: Apache-2.0
//! Where a command takes its trust from: arguments shared by signing and verifying.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use touchmark_client::trust::{
    Freshness, InstanceName, Origin, TrustStore, TrustedRootOf, VerifiedRepository, read_trusted_root,
};
use touchmark_outbound::{Outbound, Reach};
use touchmark_sigstore::trust::TrustedRoot;
use url::Url;

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{env_vars, paths};

/// The largest file of certificate authorities; a system's whole list has a quarter of a megabyte.
const CA_BYTES_MAX: u64 = 4 << 20;

/// Verifying asks the mirror at most this often; cosign does once a day, a log's keys change far more rarely.
const VERIFY_MAX_AGE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Args)]
pub(crate) struct TrustArgs {
    /// Trusted root file; without it the initialised instance is used, or the public-good one where none was
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Use what was fetched before, verified again, and no network
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) as_of: ExpiredTrustArgs,
}

/// For machines without a network, whose metadata nobody renews in time.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ExpiredTrustArgs {
    /// With --offline: verify the trust root as at TIME, such as the day it was carried here, though it has expired since. What was revoked after
    /// TIME is not known
    #[arg(long, value_name = "TIME", requires = "offline")]
    insecure_accept_expired_trust: Option<Timestamp>,
}

impl ExpiredTrustArgs {
    /// The time as of which the trust root is verified: now, unless the user stated another.
    pub(crate) fn time(self, printer: Printer) -> Timestamp {
        match self.insecure_accept_expired_trust {
            None => Timestamp::now(),
            Some(time) => {
                printer.warning(as_of(time));
                time
            }
        }
    }
}

/// What it means to state a time.
pub(crate) fn as_of(time: Timestamp) -> String {
    format!("the trust root is verified as at {time}: what expired or was revoked since then is not known")
}

/// Which instance, and how it is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    place: TrustDirArgs,
    /// The instance, by its name in `trust list` [default: the one that `initialize` or `trust use` chose]
    #[arg(long = "in", value_name = "NAME", env = env_vars::TOUCHMARK_IN)]
    instance: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Where trust is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrustDirArgs {
    /// Directory of the trust that `initialize` set up [default: $XDG_DATA_HOME/touchmark-trust]
    #[arg(long, value_name = "DIR", env = env_vars::TUF_ROOT)]
    cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NetworkArgs {
    /// PEM file with further certificate authorities for https
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl TrustDirArgs {
    pub(crate) fn store(&self) -> Result<TrustStore, Failure> {
        Ok(TrustStore::at(match &self.cache {
            Some(dir) => dir.clone(),
            None => paths::trust_dir()?,
        }))
    }
}

impl StoreArgs {
    pub(crate) fn store(&self) -> Result<TrustStore, Failure> {
        let store = self.place.store()?;
        Ok(match self.named() {
            Some(name) => store.within(InstanceName::parse(name)?),
            None => store,
        })
    }

    /// CI systems set variables to nothing rather than not at all.
    fn named(&self) -> Option<&str> {
        self.instance.as_deref().filter(|name| !name.is_empty())
    }

    pub(crate) fn outbound(&self) -> Result<Outbound, Failure> {
        self.network.outbound()
    }
}

impl NetworkArgs {
    /// The way to the network. Nothing is set up before the first request.
    pub(crate) fn outbound(&self) -> Result<Outbound, Failure> {
        let ca_pem = match &self.ca_file {
            None => None,
            Some(path) => Some(paths::read_limited(path, CA_BYTES_MAX).map_err(|error| {
                Failure::new(ExitStatus::Unreadable, format!("{} could not be read", path.display())).because(error)
            })?),
        };
        Ok(Outbound::new(concat!("touchmark/", env!("CARGO_PKG_VERSION")), Reach::Private, ca_pem))
    }
}

impl TrustArgs {
    /// What a command that verifies has to be told besides, with a space before each flag, so that it uses the same trust.
    pub(crate) fn flags_to_verify(&self) -> String {
        let path = |path: &PathBuf| paths::shell_word(&path.to_string_lossy()).into_owned();
        let flags = [
            ("--trusted-root", self.trusted_root.as_ref().map(path)),
            ("--cache", self.store.place.cache.as_ref().map(path)),
            ("--in", self.store.named().map(|name| paths::shell_word(name).into_owned())),
        ];
        // A file says all.
        let flags = flags.into_iter().take(if self.trusted_root.is_some() { 1 } else { 3 });
        flags.filter_map(|(flag, value)| Some(format!(" {flag} {}", value?))).collect()
    }

    /// The trusted root for verifying: from the file, or from the repository with as little network as is sound.
    pub(crate) fn for_verifying(&self, printer: Printer) -> Result<TrustedRoot, Failure> {
        if let Some(path) = &self.trusted_root {
            return Ok(read_trusted_root(path)?);
        }
        let store = self.store.store()?;
        if self.offline {
            let found = store.trusted_root_offline(self.as_of.time(printer))?;
            warn(&found, printer);
            return Ok(found.trusted_root);
        }
        let outbound = self.store.outbound()?;
        let freshness = Freshness::CachedWithin { max_age: VERIFY_MAX_AGE, outbound: &outbound };
        let found = super::commands::block_on(async { Ok(store.trusted_root(freshness, Timestamp::now()).await?) })?;
        warn(&found, printer);
        Ok(found.trusted_root)
    }
}

impl TrustArgs {
    /// What the instance's mirror says now, for a log that the trusted root at hand does not know: logs are rotated more often than a
    /// cache is looked at. `None` where trust comes from a file, no network is wanted, or nobody answers.
    pub(crate) fn asked_again(&self) -> Option<TrustedRoot> {
        if self.trusted_root.is_some() || self.offline {
            return None;
        }
        let (store, outbound) = (self.store.store().ok()?, self.store.outbound().ok()?);
        let asked = async {
            let mut repository = store.open(Freshness::Refresh(&outbound), Timestamp::now()).await?;
            let is_news = repository.stale().is_none();
            Ok(if is_news { Some(repository.trusted_root().await?) } else { None })
        };
        super::commands::block_on(asked).ok().flatten()
    }
}

/// Without `http://` a URL is "relative", which helps nobody.
pub(crate) fn mirror_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
            Err("it has to start with http:// or https://".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Says where the trusted root is not what the instance's mirror says now.
fn warn(found: &TrustedRootOf, printer: Printer) {
    let unreachable = found.stale.as_ref().map(|stale| &stale.mirror);
    match (&found.origin, unreachable) {
        (Origin::Embedded, Some(mirror)) => printer
            .warning(format_args!("{mirror} could not be reached; using the trusted root that this program carries")),
        (Origin::BuiltInAsOf { mirror, at }, _) => {
            printer
                .warning(format_args!("what {mirror} said has expired; using it as of {at}, when it was last asked"));
        }
        (Origin::Embedded, None) => printer.warning(format_args!(
            "using the trusted root that this program carries; run without --offline to hear of newer keys"
        )),
        (_, Some(mirror)) => printer.warning(format_args!("{mirror} could not be reached; using what it said last")),
        (_, None) => {}
    }
}

/// Two names of one address share nothing: whoever thinks that they do is told.
pub(crate) fn warn_of_same_mirror(store: &TrustStore, repository: &VerifiedRepository, printer: Printer) {
    let (name, mirror) = (repository.name(), repository.mirror());
    let known = match store.instances() {
        Ok(known) => known,
        // What was asked for is done.
        Err(error) => {
            return printer.warning(format_args!("whether another name has this address is not known: {error}"));
        }
    };
    for other in known.into_iter().filter(|known| known.mirror == *mirror && known.name != *name) {
        let other = other.name;
        printer.warning(format_args!(
            "{other} has the same address, and the two share nothing: what was seen of {other} protects {name} from no rollback"
        ));
    }
}

/// Opens the repository and warns where an unreachable mirror made the cache do.
pub(crate) async fn open(
    store: &TrustStore,
    freshness: Freshness<'_>,
    printer: Printer,
) -> Result<VerifiedRepository, Failure> {
    let repository = store.open(freshness, Timestamp::now()).await?;
    if let Some(stale) = repository.stale() {
        printer.warning(format_args!("{} could not be reached; using what it said last", stale.mirror));
    }
    Ok(repository)
}
