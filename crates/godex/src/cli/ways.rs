//! What a user types next: the settings are said where this command found them, and the flags
//! that were given to it are given again.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::config::{Setting, settings};

/// How settings are changed: where they were said.
pub(super) struct Ways<'a> {
    matches: &'a ArgMatches,
}

impl<'a> Ways<'a> {
    /// Those of a command line, and of what stands behind it.
    pub(super) fn new(matches: &'a ArgMatches) -> Self {
        Self { matches }
    }

    /// What gives a setting of the proxy another value.
    pub(super) fn set(&self, id: &str, value: &str) -> String {
        let Some(setting) = setting(id) else { return String::new() };
        let value = quoted(value);
        match (self.matches.value_source(id), setting.variable()) {
            (Some(ValueSource::CommandLine), _) => {
                format!("godex proxy {}={value}", setting.flag())
            }
            (Some(ValueSource::EnvVariable), Some(name)) => format!("export {name}={value}"),
            (_, _) => self.with(&format!("godex config set {} {value}", setting.key()), &[]),
        }
    }

    /// What gives a setting of the proxy its default back.
    pub(super) fn reset(&self, id: &str) -> Option<String> {
        let setting = setting(id)?;
        let default = setting.default();
        let raw = self.matches.get_raw(id).into_iter().flatten().next();
        if raw.map(|it| it.to_string_lossy().into_owned()) == default {
            return None;
        }
        Some(match (self.matches.value_source(id), setting.variable()) {
            (Some(ValueSource::CommandLine), _) => {
                format!("godex proxy {}={}", setting.flag(), quoted(&default?))
            }
            (Some(ValueSource::EnvVariable), Some(name)) => format!("unset {name}"),
            (_, _) => self.with(&format!("godex config unset {}", setting.key()), &[]),
        })
    }

    /// What forgets that another settings file was named.
    pub(super) fn unnamed(&self) -> String {
        match self.matches.value_source("config") {
            Some(ValueSource::EnvVariable) => "unset GODEX_CONFIG".to_owned(),
            Some(_) | None => "godex doctor".to_owned(),
        }
    }

    /// A command with those of the flags that were given to this one: files that are named in the
    /// environment or in the settings file, it finds by itself.
    pub(super) fn with(&self, command: &str, ids: &[&str]) -> String {
        let given = |id: &&str| self.matches.value_source(id) == Some(ValueSource::CommandLine);
        let flag = |id: &str| {
            let value = self.matches.get_raw(id)?.next()?.to_string_lossy().into_owned();
            Some(format!(" --{}={}", id.replace('_', "-"), quoted(&value)))
        };
        let ids = ids.iter().chain(&["config"]).filter(|it| given(it));
        ids.filter_map(|id| flag(id)).fold(command.to_owned(), |line, flag| line + &flag)
    }
}

fn setting(id: &str) -> Option<Setting> {
    settings().into_iter().find(|it| it.id() == id)
}

/// One word of a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=+,@%".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_stays_one_in_a_shell() {
        for word in ["/home/ann/x", "", "my file", "it's", "$HOME", "a;b", "`x`", "~", "ü", "*"] {
            let script = format!("printf %s {}", quoted(word));
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), word);
        }
        assert_eq!(quoted("/home/ann/x-1.json"), "/home/ann/x-1.json");
    }
}
