//! Opens a page in a browser of this machine: the one that `BROWSER` names, else the one that the
//! desktop opens pages with.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::config::Surroundings;

/// How long a program may take to say that it cannot open the page. One that goes on for longer is
/// a browser.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Programs that open pages, the best first. Each is a command; `%s` in it is the page, which is
/// the last word otherwise.
#[derive(Clone, Debug)]
pub(super) struct Opener {
    ways: Vec<Vec<OsString>>,
}

impl Opener {
    /// What there may be on this machine.
    pub(super) fn of(surroundings: &Surroundings) -> Self {
        let mut ways = named(surroundings.browser().unwrap_or_default());
        let desktop: &[&[&str]] = if cfg!(target_os = "macos") {
            &[&["open"]]
        } else if surroundings.has_desktop() {
            // The last two are those of Linux inside of Windows.
            &[&["xdg-open"], &["wslview"], &["rundll32.exe", "url.dll,FileProtocolHandler"]]
        } else {
            // Without a display, xdg-open would begin a browser for terminals, in this one.
            &[&["wslview"], &["rundll32.exe", "url.dll,FileProtocolHandler"]]
        };
        ways.extend(desktop.iter().map(|it| it.iter().map(OsString::from).collect()));
        Self { ways }
    }

    /// Opens a page. Whether anything took it.
    pub(super) fn open(&self, page: &str) -> bool {
        self.ways.iter().any(|way| start(way, page).is_some_and(takes_it))
    }
}

/// The commands of `BROWSER`, which are separated by colons.
fn named(browsers: &OsStr) -> Vec<Vec<OsString>> {
    let words = |command: &[u8]| -> Vec<OsString> {
        let words = command.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty());
        words.map(|it| OsString::from_vec(it.to_vec())).collect()
    };
    let commands = browsers.as_bytes().split(|it| *it == b':').map(words);
    commands.filter(|it| !it.is_empty()).collect()
}

fn start(way: &[OsString], page: &str) -> Option<Child> {
    let (program, words) = way.split_first()?;
    let mut command = Command::new(program);
    let mut placed = false;
    for word in words {
        match word.to_str().filter(|it| it.contains("%s")) {
            Some(word) => {
                placed = true;
                command.arg(word.replace("%s", page));
            }
            None => {
                command.arg(word);
            }
        }
    }
    if !placed {
        command.arg(page);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

/// Whether a program has done it, or is at it.
fn takes_it(mut child: Child) -> bool {
    for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => sleep(PAUSE),
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    const PAGE: &str = "https://example.com/?a=b&c=%73";

    /// A program that does this in a shell.
    fn program(folder: &Path, name: &str, script: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn opened(browsers: &str) -> bool {
        Opener { ways: named(OsStr::new(browsers)) }.open(PAGE)
    }

    #[test]
    fn the_first_program_that_takes_the_page_gets_it_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let note = |name: &str, end: &str| {
            let script = format!("echo {name} \"$@\" >> {}; {end}", seen.display());
            program(folder.path(), name, &script)
        };
        let (refuses, takes) = (note("refuses", "exit 3"), note("takes", "exit 0"));
        let last = note("last", "exit 0");
        assert!(opened(&format!("/nowhere/browser::{refuses}:{takes} --new:{last}")));
        let seen = fs::read_to_string(&seen).unwrap();
        assert_eq!(seen, format!("refuses {PAGE}\ntakes --new {PAGE}\n"));
    }

    #[test]
    fn the_page_stands_where_the_command_says() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let takes = program(folder.path(), "takes", &format!("echo \"$@\" > {}", seen.display()));
        assert!(opened(&format!("{takes} --url=%s  --new")));
        assert_eq!(fs::read_to_string(&seen).unwrap(), format!("--url={PAGE} --new\n"));
    }

    #[test]
    fn a_browser_that_stays_is_one_and_nothing_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(opened(&program(folder.path(), "stays", "exec sleep 4")));
        assert!(!opened(&program(folder.path(), "refuses", "exit 1")));
        assert!(!opened("") && !opened(" : ") && !opened("/nowhere/browser"));
    }
}
