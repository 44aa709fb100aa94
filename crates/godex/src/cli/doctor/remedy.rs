//! What to type when something is wrong: commands that work as they stand, and advice where no
//! command can be known.

/// What to do about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remedy {
    /// To be typed in this order, in the shell that doctor was typed in.
    pub(super) commands: Vec<String>,
    /// What else may help, in words.
    pub(super) advice: Vec<String>,
}

impl Remedy {
    /// These commands, one after the other.
    pub(super) fn commands(commands: impl IntoIterator<Item = String>) -> Self {
        Self { commands: commands.into_iter().collect(), advice: Vec::new() }
    }

    /// Words alone.
    pub(super) fn advice(words: impl Into<String>) -> Self {
        Self::default().or(words)
    }

    /// Adds words.
    #[must_use]
    pub(super) fn or(mut self, words: impl Into<String>) -> Self {
        self.advice.push(words.into());
        self
    }

    /// All of it, a line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().chain(&self.advice).map(String::as_str)
    }

    /// The same with every line changed.
    pub(super) fn map(self, change: impl Fn(&str) -> String) -> Self {
        let all = |lines: Vec<String>| lines.iter().map(|it| change(it)).collect();
        Self { commands: all(self.commands), advice: all(self.advice) }
    }
}

impl<T: Into<String>> From<T> for Remedy {
    fn from(command: T) -> Self {
        Self::commands([command.into()])
    }
}
