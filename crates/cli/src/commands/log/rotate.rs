// SPDX-License-Identifier: Apache-2.0
//! `touchmark log rotate`: new entries go to the next log; trusted root and signing config say so, signed with the keys of the trust root.

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::super::up::server_failure;
use super::create::{InstanceArgs, Kind};
use crate::failure::Failure;
use crate::printer::Printer;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Logs of which kind
    #[arg(long, value_enum)]
    kind: Kind,
    /// How long the present log still takes entries of clients that have not heard of the next one, such as 90s, 1h or 7d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = overlap)]
    overlap: SignedDuration,
    #[command(flatten)]
    instance: InstanceArgs,
}

fn overlap(text: &str) -> Result<SignedDuration, &'static str> {
    let problem = "a duration is needed, such as 90s, 1h or 7d";
    let span: Span = text.parse().map_err(|_| problem)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| problem)?;
    if duration.is_negative() { Err(problem) } else { Ok(duration) }
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let options = args.instance.options()?;
    let rotation = crate::commands::block_on(async {
        let rotated = touchmark_server::log_rotate(options, args.kind.into(), args.overlap).await;
        rotated.map_err(|error| server_failure(&error))
    })?;
    printer.result(&rotation.active);
    if let Some((name, until)) = rotation.retired {
        printer.note(format_args!("{name} takes entries until {until} and is frozen then."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_duration_that_people_write() {
        for (text, expect) in [("0s", 0), ("90s", 90), ("1h", 3600), ("7d", 7 * 86_400), ("1h30m", 5400)] {
            assert_eq!(overlap(text), Ok(SignedDuration::from_secs(expect)), "{text}");
        }
        for text in ["", "5", "-1h", "1 month", "soon"] {
            assert!(overlap(text).is_err(), "{text}");
        }
    }
}
