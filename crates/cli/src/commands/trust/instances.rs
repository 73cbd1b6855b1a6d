// SPDX-License-Identifier: Apache-2.0
//! `touchmark trust add | list | use | remove | refresh`: the instances that a client trusts, side by side.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use touchmark_client::trust::{
    AsDefault, Freshness, InstanceName, KnownInstance, Memory, NamedRoot, ROOT_BYTES_MAX, TrustError,
    VerifiedRepository,
};
use url::Url;

use crate::commands::version::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::paths;
use crate::printer::{Printer, printable};
use crate::trust::{NetworkArgs, StoreArgs, TrustDirArgs, mirror_url, warn_of_same_mirror};

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// Name to call it by: lower-case letters, digits, `.`, `_` and `-`
    name: String,
    /// Address of its TUF repository
    #[arg(value_parser = mirror_url)]
    url: Url,
    /// Root to pin, from a source that you trust: its file, or sha256:HEX of it
    #[arg(long, value_name = "FILE|sha256:HEX")]
    root: String,
    /// Use it where none is named, as `trust use` does
    #[arg(long = "use")]
    chosen: bool,
    #[command(flatten)]
    place: TrustDirArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    place: TrustDirArgs,
    /// How to print the list
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct UseArgs {
    /// The instance; public-good is the one that the program carries, to verify alone
    name: String,
    #[command(flatten)]
    place: TrustDirArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RemoveArgs {
    /// The instance
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Delete also what was seen of it. Added again, the name then accepts older metadata than were seen, such as those with a revoked key
    #[arg(long)]
    insecure_forget_rollback_memory: bool,
    #[command(flatten)]
    place: TrustDirArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct RefreshArgs {
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn add(args: &AddArgs, printer: Printer) -> Result<(), Failure> {
    let (name, root) = (InstanceName::parse(&args.name)?, named_root(&args.root)?);
    let (store, outbound) = (args.place.store()?.within(name), args.network.outbound()?);
    crate::commands::block_on(async {
        let mut repository = store.add(&args.url, &root, as_default(args.chosen), &outbound, Timestamp::now()).await?;
        say(&mut repository, "Trusting", printer).await?;
        warn_of_same_mirror(&store, &repository, printer);
        Ok(())
    })
}

pub(super) fn list(args: &ListArgs, printer: Printer) -> Result<(), Failure> {
    let known = args.place.store()?.instances()?;
    let asked = |known: &KnownInstance| match known.refreshed_at {
        Some(time) => format!("asked {time}"),
        None => "imported, never asked".to_owned(),
    };
    match args.output {
        Output::Text => {
            for known in &known {
                let mark = if known.is_default { '*' } else { ' ' };
                printer.result(printable(format!("{mark} {}  {}  {}", known.name, known.mirror, asked(known))));
            }
            if known.is_empty() {
                printer.note(
                    "No instance was added: verifying uses the public-good instance, whose root the program carries",
                );
                printer.note("To trust another one, and to sign: touchmark trust add NAME URL --root FILE|sha256:HEX");
            } else if !known.iter().any(|known| known.is_default) {
                printer.note("None of these is the default; the built-in public-good instance serves for verifying where no other was ever added, or where it was chosen");
            }
        }
        Output::Json => {
            let entry = |known: &KnownInstance| {
                json!({
                    "name": known.name.as_str(),
                    "mirror": known.mirror.as_str(),
                    "default": known.is_default,
                    "refreshedAt": known.refreshed_at.map(|time| time.to_string()),
                })
            };
            printer.result(json!({ "version": 1, "instances": known.iter().map(entry).collect::<Vec<_>>() }));
        }
    }
    Ok(())
}

pub(super) fn choose(args: &UseArgs, printer: Printer) -> Result<(), Failure> {
    let name = InstanceName::parse(&args.name)?;
    args.place.store()?.choose(&name)?;
    printer.note(format_args!("Using {name} where no instance is named"));
    Ok(())
}

pub(super) fn remove(args: &RemoveArgs, printer: Printer) -> Result<(), Failure> {
    let (name, store) = (InstanceName::parse(&args.name)?, args.place.store()?);
    let memory = match args.insecure_forget_rollback_memory {
        true => Memory::ForgottenUnsafe,
        false => Memory::Kept,
    };
    if !args.yes && !confirm(&name, memory)? {
        return Err(Failure::new(ExitStatus::Usage, "not removed, as you asked"));
    }
    crate::commands::block_on(async { Ok(store.remove(&name, memory).await?) })?;
    match memory {
        Memory::Kept => {
            printer.note(format_args!("Removed {name}; what was seen of it stays, and counts if it is added again"))
        }
        Memory::ForgottenUnsafe => {
            printer.warning(format_args!(
                "removed {name} and all that was seen of it: nothing protects the name from a rollback now"
            ));
        }
    }
    Ok(())
}

pub(super) fn refresh(args: &RefreshArgs, printer: Printer) -> Result<(), Failure> {
    let (store, outbound) = (args.store.store()?, args.store.outbound()?);
    crate::commands::block_on(async {
        let mut repository = store.open(Freshness::Refresh(&outbound), Timestamp::now()).await?;
        if let Some(stale) = repository.stale() {
            let message = format!(
                "{} could not be asked; what it said last is good until {}",
                stale.mirror,
                repository.expires()
            );
            return Err(Failure::new(ExitStatus::Network, message).because(&stale.cause));
        }
        say(&mut repository, "Fresh:", printer).await
    })
}

/// What `--use` says.
pub(super) fn as_default(is_chosen: bool) -> AsDefault {
    if is_chosen { AsDefault::Always } else { AsDefault::IfNone }
}

/// What is trusted now, and for how long.
pub(super) async fn say(repository: &mut VerifiedRepository, what: &str, printer: Printer) -> Result<(), Failure> {
    repository.trusted_root().await?;
    printer.note(format_args!(
        "{what} {} at {} (root version {}, good until {})",
        repository.name(),
        repository.mirror(),
        repository.root_version(),
        repository.expires()
    ));
    match repository.signing_config().await {
        Ok(_) => Ok(()),
        Err(TrustError::TargetMissing { .. }) => {
            printer.warning("the instance publishes no signing config: it can be used to verify only");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// A root file, or the hash of one.
pub(super) fn named_root(text: &str) -> Result<NamedRoot, Failure> {
    if let Some(digits) = text.strip_prefix("sha256:") {
        let hash: Option<[u8; 32]> = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
        return hash
            .map(NamedRoot::Sha256)
            .ok_or_else(|| Failure::new(ExitStatus::Usage, format!("{text} is not sha256: and 64 hex digits")));
    }
    expect_no_bare_hash(text, &format!("say sha256:{text}"))?;
    paths::read_limited(Path::new(text), ROOT_BYTES_MAX).map(NamedRoot::Bytes).map_err(|error| {
        Failure::new(ExitStatus::Unreadable, format!("{text} could not be read")).because(error).hint(
            "the instance's operator hands it out; `touchmark up` keeps it in client/root.json of its data directory",
        )
    })
}

/// A hash where a file is wanted is no file that is missing.
pub(in crate::commands) fn expect_no_bare_hash(text: &str, instead: &str) -> Result<(), Failure> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash && !Path::new(text).exists() {
        return Err(Failure::new(ExitStatus::Usage, format!("{text} is no file; it looks like the SHA-256 of one"))
            .hint(instead));
    }
    Ok(())
}

fn confirm(name: &InstanceName, memory: Memory) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(ExitStatus::Usage, "nobody at a terminal to ask").hint("--yes removes without asking"));
    }
    let more = match memory {
        Memory::Kept => "",
        Memory::ForgottenUnsafe => " and all that protects it from a rollback",
    };
    let _ = write!(std::io::stderr(), "Remove {name}{more}? [y/N] ");
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
