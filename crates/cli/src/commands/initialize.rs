// SPDX-License-Identifier: Apache-2.0
//! `touchmark initialize`: pin the TUF root of a Sigstore instance and fetch what a client needs of it.
//!
//! Unlike cosign's, it deletes nothing: what is known about an instance (the floor against rollback) stays. A root that comes over
//! the network must be named by its checksum. The instance becomes the default; `touchmark trust add` keeps several side by side.

use std::path::Path;

use jiff::Timestamp;
use touchmark_client::service::{Endpoint, ServiceKind};
use touchmark_client::trust::{ROOT_BYTES_MAX, TrustError, check_root_checksum};
use touchmark_outbound::{Limits, Outbound};
use url::Url;

use super::trust::expect_no_bare_hash;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::trust::{StoreArgs, warn_of_same_mirror};
use crate::{env_vars, paths};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the instance's TUF repository
    #[arg(long, value_name = "URL", env = env_vars::TUF_MIRROR, value_parser = crate::trust::mirror_url)]
    mirror: Url,
    /// Root file to pin, from a source that you trust; a URL needs --root-checksum
    #[arg(long, value_name = "FILE")]
    root: String,
    /// Checksum of the root file: SHA-256 in hex, or sha512:HEX
    #[arg(long, value_name = "CHECKSUM")]
    root_checksum: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let outbound = args.store.outbound()?;
    let store = args.store.store()?;
    super::block_on(async {
        let root = read_root(args, &outbound).await?;
        if let Some(checksum) = &args.root_checksum {
            check_root_checksum(&root, checksum)?;
        }
        let mut repository = store.initialize(&args.mirror, &root, &outbound, Timestamp::now()).await?;
        // Fetched now, so that verifying works offline from here on.
        repository.trusted_root().await?;
        let signs = match repository.signing_config().await {
            Ok(_) => true,
            Err(TrustError::TargetMissing { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        printer.note(format_args!(
            "Trusting {} (root version {}), remembered in {} as {}",
            args.mirror,
            repository.root_version(),
            store.dir().display(),
            repository.name()
        ));
        warn_of_same_mirror(&store, &repository, printer);
        if !signs {
            printer.warning("the instance publishes no signing config: it can be used to verify only");
        }
        Ok(())
    })
}

async fn read_root(args: &Args, outbound: &Outbound) -> Result<Vec<u8>, Failure> {
    if !args.root.starts_with("http://") && !args.root.starts_with("https://") {
        let instead = "`touchmark trust add NAME URL --root sha256:HEX --use` finds the root that has a hash; here --root is a file, and --root-checksum its hash";
        expect_no_bare_hash(args.root.strip_prefix("sha256:").unwrap_or(&args.root), instead)?;
        return paths::read_limited(Path::new(&args.root), ROOT_BYTES_MAX).map_err(|error| {
            Failure::new(ExitStatus::Unreadable, format!("{} could not be read", args.root))
                .because(error)
                .hint("the instance's operator hands it out; `touchmark up` keeps it in client/root.json of its data directory")
        });
    }
    if args.root_checksum.is_none() {
        return Err(Failure::new(ExitStatus::Usage, "a root from the network cannot be trusted by itself")
            .hint("add --root-checksum, or get the root file another way"));
    }
    let endpoint = Endpoint::new(ServiceKind::TrustRepository, &args.root, "")?;
    let limits =
        Limits { response_bytes_max: usize::try_from(ROOT_BYTES_MAX).unwrap_or(usize::MAX), ..Limits::SERVICE };
    Ok(endpoint.get(outbound, &limits).await?.body)
}
