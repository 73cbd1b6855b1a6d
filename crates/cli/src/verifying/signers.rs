// SPDX-License-Identifier: Apache-2.0
//! Who may have signed, as flags: identities and issuers in the order in which they were written.
//!
//! In scope: pairs. One issuer goes for all identities; otherwise the first issuer belongs to the first identity, and so on. Out of scope: what a
//! pair means (`touchmark_sigstore::policy`).
//! Invariants: no identity is ever combined with an issuer that was written for another one; each flag is used, or is an error.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use touchmark_sigstore::policy::{
    Github, Gitlab, IdentityMatcher, IdentityRule, Matcher, MatcherError, ShorthandError,
};

use crate::exit::ExitStatus;
use crate::failure::Failure;

/// How the text of a flag is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Exact,
    Regexp,
    Glob,
    Github,
    Gitlab,
}

/// A flag that says who may have signed.
struct Flag {
    name: &'static str,
    value_name: &'static str,
    meaning: Meaning,
    help: &'static str,
}

const IDENTITY_FLAGS: [Flag; 5] = [
    Flag {
        name: "certificate-identity",
        value_name: "IDENTITY",
        meaning: Meaning::Exact,
        help: "Who must have signed: an e-mail address or URI, exactly as in the certificate. Several: repeat it, with its issuer",
    },
    Flag {
        name: "certificate-identity-regexp",
        value_name: "REGEXP",
        meaning: Meaning::Regexp,
        help: "Who must have signed, as a regular expression over the whole identity",
    },
    Flag {
        name: "certificate-identity-glob",
        value_name: "GLOB",
        meaning: Meaning::Glob,
        help: "Who must have signed, as a glob over the whole identity: `*` stops at `/`, `**` does not",
    },
    Flag {
        name: "github",
        value_name: "OWNER/REPO",
        meaning: Meaning::Github,
        help: "Built by GitHub Actions from this repository, by a workflow of its own",
    },
    Flag {
        name: "gitlab",
        value_name: "GROUP/PROJECT",
        meaning: Meaning::Gitlab,
        help: "Built by GitLab CI from this project",
    },
];

const ISSUER_FLAGS: [Flag; 2] = [
    Flag {
        name: "certificate-oidc-issuer",
        value_name: "URL",
        meaning: Meaning::Exact,
        help: "The issuer that must have vouched for the identity",
    },
    Flag {
        name: "certificate-oidc-issuer-regexp",
        value_name: "REGEXP",
        meaning: Meaning::Regexp,
        help: "The issuer, as a regular expression over the whole URL",
    },
];

/// The names of all flags here, for those that cannot stand beside them.
pub(super) const NAMES: [&str; 7] = [
    "certificate-identity",
    "certificate-identity-regexp",
    "certificate-identity-glob",
    "github",
    "gitlab",
    "certificate-oidc-issuer",
    "certificate-oidc-issuer-regexp",
];

/// What stands under which heading of the help.
pub(super) const HEADING: &str = "Who may have signed";

/// The flags as they were written.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignerArgs {
    identities: Vec<(Meaning, String)>,
    issuers: Vec<(Meaning, String)>,
}

impl SignerArgs {
    pub(super) fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.issuers.is_empty()
    }

    /// One rule for each identity.
    pub(super) fn rules(&self) -> Result<Vec<IdentityRule>, Failure> {
        let own_issuer = |meaning: &Meaning| matches!(meaning, Meaning::Github | Meaning::Gitlab);
        let paired = self.identities.iter().filter(|(meaning, _)| !own_issuer(meaning)).count();
        let mut issuers = self.issuer_of_each(paired)?.into_iter();
        let mut rules = Vec::with_capacity(self.identities.len());
        for (meaning, text) in &self.identities {
            rules.push(match meaning {
                Meaning::Github => Github::of(text).rule().map_err(bad_short_form)?,
                Meaning::Gitlab => Gitlab::of(text).rule().map_err(bad_short_form)?,
                Meaning::Exact | Meaning::Regexp | Meaning::Glob => {
                    let issuer = issuers.next().expect("there is an issuer for each of them");
                    IdentityRule::new(identity(*meaning, text)?, issuer)
                }
            });
        }
        Ok(rules)
    }

    /// The issuers for this many identities.
    fn issuer_of_each(&self, identities: usize) -> Result<Vec<Matcher>, Failure> {
        let missing = |flag: &str| {
            Failure::new(ExitStatus::Usage, format!("{flag} is missing"))
                .hint("an identity is one together with the issuer that vouches for it")
                .hint("--github OWNER/REPO and --gitlab GROUP/PROJECT say both at once")
        };
        let matchers: Vec<Matcher> =
            self.issuers.iter().map(|(meaning, text)| matcher(*meaning, text)).collect::<Result<_, _>>()?;
        match (identities, matchers.as_slice()) {
            (0, []) if !self.identities.is_empty() => Ok(Vec::new()),
            (0, _) if self.identities.is_empty() => Err(missing("--certificate-identity")),
            (0, _) => Err(Failure::new(ExitStatus::Usage, "--github and --gitlab bring their issuer with them")
                .hint("leave out --certificate-oidc-issuer; for a server of your own write a policy file")),
            (_, []) => Err(missing("--certificate-oidc-issuer")),
            (_, [only]) => Ok(vec![only.clone(); identities]),
            (_, several) if several.len() == identities => Ok(matchers),
            (_, several) => Err(Failure::new(
                ExitStatus::Usage,
                format!("{identities} identities and {} issuers: which belongs to which?", several.len()),
            )
            .hint("give one issuer for all, or one after each identity")),
        }
    }
}

fn identity(meaning: Meaning, text: &str) -> Result<IdentityMatcher, Failure> {
    if meaning == Meaning::Exact {
        return IdentityMatcher::exact(text).map_err(bad_matcher);
    }
    Ok(IdentityMatcher::of_any_type(matcher(meaning, text)?))
}

fn matcher(meaning: Meaning, text: &str) -> Result<Matcher, Failure> {
    match meaning {
        Meaning::Regexp => Matcher::pattern(text).map_err(|error| {
            bad_matcher(error)
                .hint("the expression has to match the whole text: `.*@example\\.com`, not `@example\\.com`")
        }),
        Meaning::Glob => Matcher::glob(text).map_err(bad_matcher),
        Meaning::Exact | Meaning::Github | Meaning::Gitlab => Matcher::exact(text).map_err(bad_matcher),
    }
}

fn bad_matcher(error: MatcherError) -> Failure {
    Failure::from_error(ExitStatus::Usage, &error)
}

fn bad_short_form(error: ShorthandError) -> Failure {
    Failure::from_error(ExitStatus::Usage, &error)
}

impl clap::Args for SignerArgs {
    fn augment_args(command: Command) -> Command {
        IDENTITY_FLAGS.iter().chain(&ISSUER_FLAGS).fold(command, |command, flag| {
            command.arg(
                Arg::new(flag.name)
                    .long(flag.name)
                    .value_name(flag.value_name)
                    .action(ArgAction::Append)
                    .help(flag.help)
                    .help_heading(HEADING),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SignerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { identities: in_order(matches, &IDENTITY_FLAGS)?, issuers: in_order(matches, &ISSUER_FLAGS)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of several flags, in the order of the command line.
fn in_order(matches: &ArgMatches, flags: &[Flag]) -> Result<Vec<(Meaning, String)>, clap::Error> {
    let mut values = Vec::new();
    for flag in flags {
        let unknown = |_| clap::Error::raw(ErrorKind::UnknownArgument, flag.name);
        let texts = matches.try_get_many::<String>(flag.name).map_err(unknown)?.into_iter().flatten();
        let places = matches.indices_of(flag.name).into_iter().flatten();
        values.extend(places.zip(texts).map(|(place, text)| (place, flag.meaning, text.clone())));
    }
    values.sort_by_key(|(place, ..)| *place);
    Ok(values.into_iter().map(|(_, meaning, text)| (meaning, text)).collect())
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    fn parse(words: &str) -> SignerArgs {
        let command = SignerArgs::augment_args(Command::new("test").no_binary_name(true));
        SignerArgs::from_arg_matches(&command.try_get_matches_from(words.split_whitespace()).unwrap()).unwrap()
    }

    #[test]
    fn identities_are_paired_with_issuers_in_their_order() {
        let check = |words: &str, expected: &[(&str, &str)]| {
            let rules = parse(words).rules().unwrap();
            let found: Vec<_> = rules.iter().map(|rule| (rule.san.to_string(), rule.issuer.to_string())).collect();
            let expected: Vec<_> =
                expected.iter().map(|(san, issuer)| ((*san).to_owned(), (*issuer).to_owned())).collect();
            assert_eq!(found, expected, "{words}");
        };
        check("--certificate-identity a@x --certificate-oidc-issuer https://i", &[("email a@x", "https://i")]);
        check(
            "--certificate-identity-regexp ^b$ --certificate-oidc-issuer https://i --certificate-identity a@x \
             --certificate-oidc-issuer-regexp ^j$",
            &[("a match of ^b$", "https://i"), ("email a@x", "a match of ^j$")],
        );
        check(
            "--certificate-identity-glob b* --certificate-identity a@x --certificate-oidc-issuer https://i",
            &[("like b*", "https://i"), ("email a@x", "https://i")],
        );
    }

    #[test]
    fn a_short_form_brings_its_issuer() {
        let rules =
            parse("--github o/r --certificate-identity a@x --certificate-oidc-issuer https://i").rules().unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0].issuer.to_string(), "https://token.actions.githubusercontent.com");
        assert_eq!(rules[1].issuer.to_string(), "https://i");
        assert_eq!(parse("--gitlab g/p").rules().unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_a_pair_is_refused() {
        let check = |words: &str, text: &str| {
            let failure = parse(words).rules().unwrap_err();
            assert_eq!(failure.status(), ExitStatus::Usage);
            assert!(failure.message().contains(text), "{words}: {}", failure.message());
        };
        check("", "--certificate-identity is missing");
        check("--certificate-oidc-issuer https://i", "--certificate-identity is missing");
        check("--certificate-identity a@x", "--certificate-oidc-issuer is missing");
        check("--github o/r --certificate-oidc-issuer https://i", "bring their issuer");
        check("--github o", "not a repository");
        let three = "--certificate-identity a@x --certificate-identity b@x --certificate-identity c@x \
                     --certificate-oidc-issuer https://i --certificate-oidc-issuer https://j";
        check(three, "3 identities and 2 issuers");
    }

    #[test]
    fn every_flag_is_named() {
        let flags: Vec<&str> = IDENTITY_FLAGS.iter().chain(&ISSUER_FLAGS).map(|flag| flag.name).collect();
        assert_eq!(flags, NAMES);
    }
}
