// SPDX-License-Identifier: Apache-2.0
//! `touchmark verify-blob`: is this file signed, by whom we expect, as the trust root demands?

use crate::failure::Failure;
use crate::printer::Printer;
use crate::verifying::verdict::SignedAs;
use crate::verifying::{About, Asked, VerifyArgs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verify: VerifyArgs,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let asked = Asked { signed_as: SignedAs::File, predicate_type: None, about: About::Files };
    crate::verifying::run(&args.verify, asked, printer)
}
