//! How a command ends: its exit code, and the text of a failure.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit codes, documented by `godex --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It worked.
    Success = 0,
    /// It failed.
    Failure = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// Nobody is logged in to ChatGPT.
    NotLoggedIn = 4,
    /// The backend cannot be reached (`EX_UNAVAILABLE` of sysexits).
    Unreachable = 69,
    /// A service says: later (`EX_TEMPFAIL`).
    Temporary = 75,
    /// A file is not what it should be (`EX_CONFIG`).
    Config = 78,
}

impl Exit {
    /// Every code, in the order of the documentation.
    pub(crate) const ALL: [Self; 7] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::NotLoggedIn,
        Self::Unreachable,
        Self::Temporary,
        Self::Config,
    ];

    /// What the code says to a script.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Usage => "wrong command line or setting",
            Self::NotLoggedIn => "not logged in to ChatGPT",
            Self::Unreachable => "the backend cannot be reached",
            Self::Temporary => "temporary: a service is busy or limits how often it is asked",
            Self::Config => "a file cannot be read, written or understood",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, in the user's world: what, why, and the remedy.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    what: What,
    excerpt: Option<String>,
    cause: Option<String>,
    help: Vec<String>,
    exit: Exit,
}

#[derive(Clone, Debug)]
enum What {
    /// One line, shown after `error:`.
    Failed(String),
    /// The help of a command that was given nothing to do, shown as it is.
    Nothing(String),
}

impl Failure {
    /// Something failed: `what` is one line without a full stop.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self::of(exit, What::Failed(what.into()))
    }

    /// A command was given nothing to do; `help` says what there is.
    pub(crate) fn help_wanted(help: String) -> Self {
        Self::of(Exit::Usage, What::Nothing(help))
    }

    fn of(exit: Exit, what: What) -> Self {
        Self { what, excerpt: None, cause: None, help: Vec::new(), exit }
    }

    /// Adds the lines of a file that are meant, whole lines.
    #[must_use]
    pub(crate) fn excerpt(mut self, lines: String) -> Self {
        self.excerpt = Some(lines);
        self
    }

    /// Adds why it failed.
    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a line of remedy.
    #[must_use]
    pub(crate) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }

    /// The code the program ends with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes `error:`, `cause:` and `help:`.
    ///
    /// # Errors
    ///
    /// When `out` refuses.
    pub(crate) fn print(&self, out: &mut dyn Write, colour: bool) -> io::Result<()> {
        let paint = |code: &str, text: &str| {
            if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
        };
        match &self.what {
            What::Failed(what) => writeln!(out, "{} {what}", paint("1;31", "error:"))?,
            What::Nothing(help) => out.write_all(help.as_bytes())?,
        }
        if let Some(lines) = &self.excerpt {
            out.write_all(lines.as_bytes())?;
        }
        if let Some(cause) = &self.cause {
            writeln!(out, "  {} {cause}", paint("1", "cause:"))?;
        }
        let mut lines = self.help.iter();
        if let Some(first) = lines.next() {
            writeln!(out, "  {}  {first}", paint("1;32", "help:"))?;
        }
        lines.try_for_each(|line| writeln!(out, "         {line}"))
    }
}

/// Writes what a command has to say to standard output. A reader that went away, as in
/// `godex --help | head -1`, has read enough.
///
/// # Errors
///
/// When the output cannot be written for another reason, like a full disk.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            Err(Failure::new(Exit::Failure, "cannot write to standard output")
                .cause(error.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};

    fn printed(failure: &Failure, colour: bool) -> String {
        let mut out = Vec::new();
        failure.print(&mut out, colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failure_says_what_why_and_the_remedy_in_aligned_lines() {
        let failure =
            Failure::new(Exit::Usage, "no").cause("because").help("do this").help("or that");
        let expected = "error: no\n  cause: because\n  help:  do this\n         or that\n";
        assert_eq!(printed(&failure, false), expected);
    }

    #[test]
    fn colours_change_no_words() {
        let failure = Failure::new(Exit::Failure, "no").cause("because").help("do this");
        let coloured = printed(&failure, true);
        assert!(coloured.starts_with("\u{1b}[1;31merror:\u{1b}[0m no\n"), "{coloured:?}");
        let plain = ["1;31", "1", "1;32", "0"]
            .iter()
            .fold(coloured, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""));
        assert_eq!(plain, printed(&failure, false));
    }

    #[test]
    fn the_exit_codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(|exit| exit as u8), [0, 1, 2, 4, 69, 75, 78]);
    }
}
