//! What to type when something is wrong: commands that work as they stand, and advice where no
//! command can be known.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::check::Checks;

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

/// What opens a path that is closed to this user, and what names another one, `elsewhere`, where
/// that is nothing a user may do.
pub(super) fn opened(path: &Path, elsewhere: String, checks: &Checks) -> Remedy {
    opened_for(rustix::process::geteuid().as_raw(), path, elsewhere, checks)
}

fn opened_for(user: u32, path: &Path, elsewhere: String, checks: &Checks) -> Remedy {
    // As deep as this user can look: the path, or the folder that is in its way.
    let seen = path.ancestors().find_map(|it| Some((it, fs::metadata(it).ok()?)));
    let Some((closed, metadata)) = seen else { return elsewhere.into() };
    let typed = checks.typed(closed);
    if closed == path && metadata.is_dir() {
        // Rights make no file of it.
        return elsewhere.into();
    }
    match (metadata.uid() == user, metadata.is_dir()) {
        (true, true) => format!("chmod u+rwx {typed}").into(),
        (true, false) => format!("chmod 600 {typed}").into(),
        // Of a command that was run as root once, as a rule.
        (false, folder) if checks.is_at_home(closed) => {
            let all = if folder { "-R " } else { "" };
            Remedy::from(format!("sudo chown {all}\"$(id -un)\" {typed}"))
                .or(format!("or {elsewhere}"))
        }
        (false, _) => elsewhere.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::{Checks, Remedy, opened_for};

    #[test]
    fn what_belongs_to_somebody_else_is_not_opened_by_chmod() {
        let home = tempfile::tempdir().unwrap();
        let me = fs::metadata(home.path()).unwrap().uid();
        fs::create_dir(home.path().join("folder")).unwrap();
        fs::write(home.path().join("file"), "").unwrap();
        let checks = Checks::at(home.path());
        let check = |user: u32, path: &str, expected: &str| {
            let remedy = opened_for(user, &home.path().join(path), "elsewhere".into(), &checks);
            assert_eq!(remedy.commands, [expected], "{path}");
        };
        check(me, "file", "chmod 600 ~/file");
        check(me, "folder/new/x.json", "chmod u+rwx ~/folder");
        check(me + 1, "file", "sudo chown \"$(id -un)\" ~/file");
        check(me + 1, "folder/new/x.json", "sudo chown -R \"$(id -un)\" ~/folder");
        check(me, "folder", "elsewhere");
        // Neither a whole home nor anything outside of it is taken over.
        check(me + 1, "new.json", "elsewhere");
        check(me + 1, "/usr/lib/new.json", "elsewhere");
        let remedy = opened_for(me + 1, &home.path().join("file"), "elsewhere".into(), &checks);
        assert_eq!(remedy.advice, Remedy::advice("or elsewhere").advice);
    }
}
