//! Where a command speaks and listens: data to one side, advice to the other, answers from a third.

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};

use super::report::{Exit, Failure};
use crate::config::Surroundings;

/// What standard output is written on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Screen {
    /// Its width; none when it is no terminal, and then nothing is left out.
    pub(super) width: Option<usize>,
    /// Whether it shows colours.
    pub(super) colour: bool,
}

impl Screen {
    /// Whether somebody looks at it, and not a program.
    pub(super) fn is_terminal(&self) -> bool {
        self.width.is_some()
    }
}

/// Where a command speaks and listens.
pub(super) struct Talk<'a> {
    /// Standard output: what was asked for.
    pub(super) out: &'a mut dyn Write,
    /// Standard error: everything else.
    pub(super) notes: &'a mut dyn Write,
    /// Standard input.
    pub(super) input: &'a mut dyn BufRead,
    /// Whether somebody is there to answer a question or to watch progress: standard input and
    /// standard error are terminals.
    pub(super) attended: bool,
    /// How standard output looks.
    pub(super) screen: Screen,
}

impl Talk<'_> {
    /// Writes what was asked for. A reader that went away has read enough.
    ///
    /// # Errors
    ///
    /// When it cannot be written for another reason, like a full disk.
    pub(super) fn say(&mut self, text: &str) -> Result<Exit, Failure> {
        self.show(text).map(|_| Exit::Success)
    }

    /// Writes a part of what was asked for, at once. Whether anybody still reads.
    ///
    /// # Errors
    ///
    /// When it cannot be written for another reason than a reader that went away.
    pub(super) fn show(&mut self, text: &str) -> Result<bool, Failure> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::new(Exit::Failure, "cannot write to standard output")
                .cause(error.to_string())),
        }
    }

    /// Writes a line of advice. Nobody depends on it, so nobody hears if it fails.
    pub(super) fn note(&mut self, text: &str) {
        let _ = writeln!(self.notes, "{text}");
    }

    /// Asks until the end of the line; only a yes is a yes.
    pub(super) fn confirms(&mut self, question: &str) -> bool {
        let _ = write!(self.notes, "{question} [y/N] ").and_then(|()| self.notes.flush());
        let mut answer = String::new();
        let answered = self.input.read_line(&mut answer).is_ok();
        answered && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
    }
}

/// How wide a terminal is that does not say so.
const USUAL_WIDTH: usize = 80;

/// Runs a command on the terminal, or whatever the standard streams of this process are.
///
/// # Errors
///
/// Those of the command.
pub(super) fn with_terminal(
    surroundings: &Surroundings,
    command: impl FnOnce(&mut Talk<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let stdout = io::stdout();
    let width = stdout.is_terminal().then(|| {
        // Some terminals do not say how wide they are.
        terminal_size::terminal_size_of(&stdout)
            .map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0))
    });
    let colour = surroundings.colour(stdout.is_terminal());
    let mut talk = Talk {
        out: &mut stdout.lock(),
        notes: &mut io::stderr(),
        input: &mut BufReader::new(io::stdin()),
        attended: io::stdin().is_terminal() && io::stderr().is_terminal(),
        screen: Screen { width, colour },
    };
    command(&mut talk)
}

/// A span of time as people say it: `45 s`, `12 min`, `3 h`, `9 d`.
pub(super) fn rough(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// JSON for eyes and programs.
pub(super) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
