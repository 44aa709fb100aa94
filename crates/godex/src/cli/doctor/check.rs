//! One thing that was looked at, and what to do about it.

use std::path::Path;
use std::time::{Duration, Instant};

use super::remedy::Remedy;
use crate::cli::ways::quoted;
use crate::clock;
use crate::config::Surroundings;

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Account,
    Files,
    Network,
    Server,
    Clients,
}

impl Category {
    pub(super) const ALL: [Self; 5] =
        [Self::Account, Self::Files, Self::Network, Self::Server, Self::Clients];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::Files => "Files",
            Self::Network => "Network",
            Self::Server => "Server",
            Self::Clients => "Clients",
        }
    }

    pub(super) fn name(self) -> String {
        self.title().to_lowercase()
    }
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, for now or not for everybody.
    Warn,
    /// It does not work.
    Fail,
    /// It was not looked at, or there is nothing to look at.
    Skip,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }

    /// Its sign and its colour.
    pub(super) fn mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("✓", "32"),
            Self::Warn => ("⚠", "33"),
            Self::Fail => ("✗", "31"),
            Self::Skip => ("–", "2"),
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) id: &'static str,
    pub(super) category: Category,
    pub(super) status: Status,
    pub(super) summary: String,
    pub(super) remedy: Option<Remedy>,
    pub(super) duration: Duration,
}

/// What was looked at so far. Paths are shown from the home folder on, which nobody else needs to
/// know the name of.
pub(super) struct Checks {
    done: Vec<Check>,
    home: Option<String>,
    since: Instant,
}

impl Checks {
    /// Nothing yet.
    pub(super) fn new(surroundings: &Surroundings) -> Self {
        Self::at(&surroundings.in_home("").unwrap_or_default())
    }

    /// Nothing yet, of somebody whose home folder this is.
    pub(super) fn at(home: &Path) -> Self {
        let home = home.display().to_string().trim_end_matches('/').to_owned();
        let home = Some(home).filter(|it| !it.is_empty());
        Self { done: Vec::new(), home, since: clock::monotonic() }
    }

    /// A path as it is shown.
    pub(super) fn shown(&self, path: &Path) -> String {
        self.tidy(&path.display().to_string())
    }

    /// Whether a path is in the home folder, and not the folder itself.
    pub(super) fn is_at_home(&self, path: &Path) -> bool {
        let rest = self.home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        rest.is_some_and(|rest| !rest.as_os_str().is_empty())
    }

    /// A path as it is typed: one word of a shell.
    pub(super) fn typed(&self, path: &Path) -> String {
        let at_home = self.home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        match at_home {
            Some(rest) => format!("~/{}", quoted(&rest.display().to_string())),
            None => quoted(&path.display().to_string()),
        }
    }

    fn tidy(&self, text: &str) -> String {
        match &self.home {
            Some(home) => text.replace(home.as_str(), "~"),
            None => text.to_owned(),
        }
    }

    /// It is as it should be.
    pub(super) fn ok(&mut self, id: &'static str, category: Category, summary: impl Into<String>) {
        self.add(id, category, Status::Ok, &summary.into(), None);
    }

    /// It was not looked at.
    pub(super) fn skip(
        &mut self,
        id: &'static str,
        category: Category,
        summary: impl Into<String>,
    ) {
        self.add(id, category, Status::Skip, &summary.into(), None);
    }

    /// It works, but.
    pub(super) fn warn(
        &mut self,
        id: &'static str,
        category: Category,
        summary: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) {
        self.add(id, category, Status::Warn, &summary.into(), Some(remedy.into()));
    }

    /// It does not work.
    pub(super) fn fail(
        &mut self,
        id: &'static str,
        category: Category,
        summary: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) {
        self.add(id, category, Status::Fail, &summary.into(), Some(remedy.into()));
    }

    fn add(
        &mut self,
        id: &'static str,
        category: Category,
        status: Status,
        summary: &str,
        remedy: Option<Remedy>,
    ) {
        let now = clock::monotonic();
        let duration = now.saturating_duration_since(self.since);
        self.since = now;
        let summary = self.tidy(summary);
        let remedy = remedy.map(|it| it.map(|line| self.tidy(line)));
        self.done.push(Check { id, category, status, summary, remedy, duration });
    }

    /// All of it.
    pub(super) fn done(self) -> Vec<Check> {
        self.done
    }
}
