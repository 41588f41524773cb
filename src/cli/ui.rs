//! The only place that writes to standard output and standard error.
//!
//! Standard output holds the answer, standard error everything else. A reader that goes away
//! (`| head`) is no error: nothing more is written, and streams end. Text that came from
//! components passes through [`clean`], so that it cannot drive the operator's terminal.

use std::{
    borrow::Cow,
    cell::Cell,
    fmt,
    io::{self, IsTerminal, Write},
};

use super::args::{ColorWhen, Options};

/// The operator's side of the program.
#[derive(Debug)]
pub struct Ui {
    pub out: Side,
    pub err: Side,
    quiet: bool,
    verbose: bool,
    /// Why standard output takes no more.
    lost: Cell<Option<io::ErrorKind>>,
}

/// What standard output or standard error leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// A terminal that can move its cursor.
    pub terminal: bool,
    pub colour: bool,
}

/// What a piece of text means; colour is derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Dim,
    Strong,
}

impl Ui {
    pub fn new(options: &Options) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let side = |terminal: bool| Side {
            terminal: terminal && !dumb,
            colour: match options.color {
                ColorWhen::Always => true,
                ColorWhen::Never => false,
                ColorWhen::Auto => terminal && !set("NO_COLOR") && !dumb,
            },
        };
        Self {
            out: side(io::stdout().is_terminal()),
            err: side(io::stderr().is_terminal()),
            quiet: options.quiet,
            verbose: options.verbose,
            lost: Cell::new(None),
        }
    }

    /// For tests of what is written: standard output as a terminal or a file.
    #[cfg(test)]
    pub fn of(terminal: bool, colour: bool) -> Self {
        let side = Side { terminal, colour };
        Self { out: side, err: side, quiet: true, verbose: false, lost: Cell::new(None) }
    }

    /// The same for another thread.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { lost: Cell::new(self.lost.get()), ..*self }
    }

    /// A part of the answer, as it is.
    pub fn print(&self, text: &str) {
        if self.lost.get().is_some() {
            return;
        }
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written {
            self.lost.set(Some(error.kind()));
        }
    }

    /// A line of the answer.
    pub fn line(&self, text: impl fmt::Display) {
        self.print(&format!("{text}\n"));
    }

    /// Nobody reads the answer any more: a stream has no purpose. Notices it without a write, so
    /// that `| head -1` ends a stream in which nothing happens.
    pub fn reader_gone(&self) -> bool {
        #[cfg(unix)]
        if !self.out.terminal && self.lost.get().is_none() {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let out = io::stdout();
            let mut polled = [PollFd::new(&out, PollFlags::empty())];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let hung_up = PollFlags::ERR | PollFlags::HUP;
            if poll(&mut polled, Some(&now)).is_ok() && polled[0].revents().intersects(hung_up) {
                self.lost.set(Some(io::ErrorKind::BrokenPipe));
            }
        }
        self.lost.get().is_some()
    }

    /// Why the answer could not be written; a reader that has seen enough is no reason.
    pub fn output_error(&self) -> Option<io::Error> {
        let kind = self.lost.get()?;
        (kind != io::ErrorKind::BrokenPipe).then(|| kind.into())
    }

    /// What is going on, for a person; not with `-q`.
    pub fn note(&self, text: impl fmt::Display) {
        if !self.quiet {
            aside(&format!("{text}\n"));
        }
    }

    /// What is done behind the curtain; with `-v`.
    pub fn detail(&self, text: impl fmt::Display) {
        if self.verbose {
            aside(&format!("{text}\n"));
        }
    }

    /// An error, always told.
    pub fn error(&self, text: impl fmt::Display) {
        let label = paint(Tone::Bad, "error:", self.err.colour);
        aside(&format!("{label} {text}\n"));
    }

    /// Columns and lines of the terminal, 80 by 24 where it does not say.
    pub fn terminal_size(&self) -> (usize, usize) {
        #[cfg(unix)]
        {
            let of = |winsize: rustix::termios::Winsize| {
                (usize::from(winsize.ws_col), usize::from(winsize.ws_row))
            };
            let asked = if self.err.terminal {
                rustix::termios::tcgetwinsize(io::stderr())
            } else {
                rustix::termios::tcgetwinsize(io::stdout())
            };
            if let Ok((columns @ 1.., lines @ 1..)) = asked.map(of) {
                return (columns, lines);
            }
        }
        (80, 24)
    }

    /// Whether lines of progress are to be shown.
    pub fn tells_progress(&self) -> bool {
        !self.quiet
    }
}

/// Standard error as it is. That nobody reads it must not keep a command from its work.
pub fn aside(text: &str) {
    let _unread = io::stderr().lock().write_all(text.as_bytes());
}

/// `text` in the colour of its tone.
pub fn paint(tone: Tone, text: &str, colour: bool) -> Cow<'_, str> {
    let code = match tone {
        _ if !colour || text.is_empty() => return text.into(),
        Tone::Plain => return text.into(),
        Tone::Good => "32",
        Tone::Busy => "33",
        Tone::Bad => "1;31",
        Tone::Dim => "2",
        Tone::Strong => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m").into()
}

/// `text` without anything that a terminal obeys: each control character becomes `�`, tabs a
/// space. Direction marks go too: they would let a component rearrange what is read.
pub fn clean(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return text.into();
    }
    let safe = |c| match c {
        '\t' | '\n' => ' ',
        c if harmful(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(safe).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_says_cannot_drive_the_terminal() {
        assert_eq!(clean("plain ✓ text"), "plain ✓ text");
        assert_eq!(clean("\x1b]0;owned\x07\u{9b}2J"), "�]0;owned��2J");
        assert_eq!(clean("a\tb\u{202e}c"), "a b�c");
    }

    #[test]
    fn colour_is_never_more_than_colour() {
        assert_eq!(paint(Tone::Bad, "failed", false), "failed");
        assert_eq!(paint(Tone::Bad, "failed", true), "\x1b[1;31mfailed\x1b[0m");
    }
}
