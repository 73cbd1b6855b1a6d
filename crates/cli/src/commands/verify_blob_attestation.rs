// SPDX-License-Identifier: Apache-2.0
//! `touchmark verify-blob-attestation`: does somebody whom we trust state something about this file, and of the kind that we ask for?

use touchmark_keys::{Digest, HashAlgorithm};

use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::verifying::verdict::SignedAs;
use crate::verifying::{About, Asked, VerifyArgs, inputs, predicate};

/// What is asked for where nothing is said, as in cosign.
const DEFAULT_TYPE: &str = "custom";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    verify: VerifyArgs,
    /// What it must state: slsaprovenance, slsaprovenance02, slsaprovenance1, link, spdx, spdxjson, cyclonedx, vuln, openvex,
    /// custom, or the URI of a type [default: custom; with --policy what the file says]
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "policy")]
    predicate_type: Option<String>,
    /// The digest of the artifact, in hexadecimal, instead of a file
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
    /// The algorithm of --digest: sha256, sha384 or sha512 [default: sha256]
    #[arg(long = "digestAlg", alias = "digest-alg", value_name = "NAME", requires = "digest")]
    digest_algorithm: Option<String>,
    /// Whether the statement must be about the artifact; `false` accepts one about anything
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    check_claims: bool,
}

pub(super) fn run(args: &Args, printer: Printer) -> Result<(), Failure> {
    let predicate_type = match (&args.predicate_type, args.verify.has_policy_file()) {
        (None, true) => None,
        (given, _) => Some(predicate::demanded(given.as_deref().unwrap_or(DEFAULT_TYPE))?),
    };
    let asked = Asked { signed_as: SignedAs::Statement, predicate_type, about: about(args, printer)? };
    crate::verifying::run(&args.verify, asked, printer)
}

fn about(args: &Args, printer: Printer) -> Result<About, Failure> {
    match (&args.digest, args.check_claims) {
        (None, true) => Ok(About::Files),
        (Some(hex), true) => {
            let digest = digest(args.digest_algorithm.as_deref(), hex)?;
            Ok(About::Only(inputs::of_digest(digest, args.verify.bundle())?))
        }
        (None, false) => {
            printer.warning("with --check-claims=false nobody looks what the attestation is about");
            Ok(About::Only(inputs::of_anything(args.verify.bundle())?))
        }
        (Some(_), false) => {
            Err(Failure::new(ExitStatus::Usage, "--digest says what to compare, --check-claims=false not to compare"))
        }
    }
}

/// The digest of cosign's two flags; an algorithm may stand before it, too.
fn digest(algorithm: Option<&str>, hex: &str) -> Result<Digest, Failure> {
    let unusable = |error: &dyn std::error::Error| {
        Failure::new(ExitStatus::Usage, "--digest cannot be used")
            .because(error)
            .hint("for example --digestAlg sha256 --digest $(sha256sum FILE | cut -d' ' -f1)")
    };
    if algorithm.is_none() && hex.contains(':') {
        return hex.parse().map_err(|error: touchmark_keys::DigestTextError| unusable(&error));
    }
    let algorithm = algorithm.unwrap_or(HashAlgorithm::Sha256.prefix());
    let algorithm = HashAlgorithm::from_prefix(algorithm).ok_or_else(|| {
        Failure::new(ExitStatus::Usage, format!("{algorithm:?} is no digest algorithm"))
            .hint("there are sha256, sha384 and sha512")
    })?;
    format!("{}:{hex}", algorithm.prefix()).parse().map_err(|error: touchmark_keys::DigestTextError| unusable(&error))
}
