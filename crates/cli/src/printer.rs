// SPDX-License-Identifier: Apache-2.0
//! The only place that writes to the terminal.
//!
//! Results go to stdout, everything else to stderr; colour only where a terminal shows it (crate `anstream`). A reader that
//! has gone away (`| head`) is not an error, so write errors are dropped.
//!
//! Invariant: what services, bundles and file names say goes through [`printable`], so that none of it can steer a terminal or
//! pass for a line of ours.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use touchmark_sigstore::policy::Severity;

use crate::failure::Failure;

const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// Writes what a command has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    quiet: bool,
}

impl Printer {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A result, for people or for the next program.
    pub(crate) fn result(self, text: impl Display) {
        let _ = writeln!(anstream::stdout(), "{text}");
    }

    /// Bytes that are the result, as they are.
    pub(crate) fn raw(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// What is going on.
    pub(crate) fn note(self, text: impl Display) {
        self.line(printable(text));
    }

    fn line(self, styled: impl Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr(), "{styled}");
        }
    }

    pub(crate) fn heading(self, text: impl Display) {
        self.line(format_args!("\n{BOLD}{}{BOLD:#}", printable(text)));
    }

    /// A line to copy into a shell.
    pub(crate) fn command(self, text: impl Display) {
        self.line(format_args!("  {CYAN}{}{CYAN:#}", printable(text)));
    }

    pub(crate) fn passed(self, name: impl Display, text: impl Display) {
        let text = printable(text);
        self.line(format_args!("  {GREEN}✓{GREEN:#} {name:<11} {text}").to_string().trim_end());
    }

    pub(crate) fn refused(self, name: impl Display) {
        self.line(format_args!("  {RED}✗{RED:#} {name}"));
    }

    pub(crate) fn warning(self, text: impl Display) {
        let _ = writeln!(anstream::stderr(), "{YELLOW}warning:{YELLOW:#} {}", printable(text));
    }

    /// Something in a policy that is probably not meant.
    pub(crate) fn finding(self, severity: Severity, text: impl Display) {
        let style = match severity {
            Severity::Note => CYAN,
            Severity::Warning => YELLOW,
            Severity::Danger => RED,
        };
        let _ = writeln!(anstream::stderr(), "{style}{severity}:{style:#} {}", printable(text));
    }

    /// Always shown: `--quiet` hides chatter, not the reason of an exit code.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.is_reported() {
            return;
        }
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{RED}error:{RED:#} {}", printable(failure.message()));
        for (label, text) in failure.details() {
            let _ = writeln!(err, "  {label}: {}", printable(text));
        }
        for hint in failure.hints() {
            let _ = writeln!(err, "{CYAN}hint:{CYAN:#} {}", printable(hint));
        }
    }

    /// A spinner on stderr; nothing where stderr is no terminal.
    pub(crate) fn spinner(self, message: impl Into<String>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.draw_target()).with_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// A bar of `total` bytes on stderr; nothing where stderr is no terminal.
    pub(crate) fn byte_bar(self, total: u64, message: impl Into<String>) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}")
            .expect("the template is well formed");
        ProgressBar::with_draw_target(Some(total), self.draw_target()).with_style(style).with_message(message.into())
    }

    /// How many of `total` are done, on stderr; nothing where stderr is no terminal.
    pub(crate) fn counter(self, total: usize, message: &'static str) -> ProgressBar {
        let style =
            ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect("the template is well formed");
        ProgressBar::with_draw_target(Some(total as u64), self.draw_target()).with_style(style).with_message(message)
    }

    fn draw_target(self) -> ProgressDrawTarget {
        if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }
}

/// Text as it may stand on a terminal: characters that steer one or turn the direction of writing are spelled out, and further lines
/// are indented.
pub(crate) fn printable(text: impl Display) -> String {
    let mut shown = String::new();
    for c in text.to_string().chars() {
        match c {
            '\n' => shown.push_str("\n    "),
            _ if steers(c) => shown.extend(c.escape_unicode()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Control characters of both sets, and the embeddings, overrides and isolates of the bidirectional algorithm (UAX #9).
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_steers_no_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text), expected);
        check("ann@example.com, Ünïcode ✓", "ann@example.com, Ünïcode ✓");
        check("\u{1b}[2Kx\r\u{9b}31m\u{7f}", "\\u{1b}[2Kx\\u{d}\\u{9b}31m\\u{7f}");
        check("moc\u{202e}elpmaxe", "moc\\u{202e}elpmaxe");
        check("x\nVerified OK: y", "x\n    Verified OK: y");
    }
}
