//! What is written from the table of settings: the sample file, and `docs/configuration.md`.

use std::fmt::Write as _;

use crate::config::{Kind, Setting, settings};

/// How wide the sample file is.
const WIDTH: usize = 80;

/// A settings file with every setting and its default, all commented out.
pub(super) fn sample() -> String {
    let mut text = String::from(
        "# Settings of godex. What is commented out shows the default, where there is one.\n\
         # A flag wins over its variable, which wins over this file. Check it: godex config check\n\
         # Times are like 30s, 15m or 6h, sizes a number of bytes or like 64MiB, and what is\n\
         # repeatable is a list: [\"one\", \"another\"].\n",
    );
    let (all, mut table, mut heading) = (settings(), "", "");
    for setting in &all {
        if setting.table != table {
            table = setting.table;
            let _ = writeln!(text, "\n[{table}]");
        }
        if !table.is_empty() && setting.heading() != heading {
            heading = setting.heading();
            let _ = writeln!(text, "\n## {heading}");
        }
        text.push('\n');
        for line in wrapped(&setting.help(), WIDTH - 2) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "# {} = {}", setting.name, example(setting));
    }
    text
}

/// The reference of all settings in Markdown: `docs/configuration.md`.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    let (all, mut heading) = (settings(), "");
    for setting in &all {
        if setting.heading() != heading {
            heading = setting.heading();
            let table = match setting.table {
                "" => "before the first table".to_owned(),
                table => format!("in `[{table}]`"),
            };
            let _ = writeln!(text, "\n### {heading}, {table}\n");
            text.push_str("| key | example or default | flag | variable | what it sets |\n");
            text.push_str("|---|---|---|---|---|\n");
        }
        let variable = setting.variable().unwrap_or("NO_COLOR, CLICOLOR_FORCE");
        let _ = writeln!(
            text,
            "| `{}` | `{}` | `{}` | `{variable}` | {} |",
            setting.name,
            example(setting),
            setting.flag(),
            setting.help().replace('|', "\\|").replace('<', "&lt;"),
        );
    }
    text
}

/// The default as a file has it, else what can stand there.
fn example(setting: &Setting) -> String {
    let quoted = |text: &str| toml_edit::Value::from(text).to_string().trim().to_owned();
    let help = setting.help();
    let described = help.split_once("[default: ").and_then(|(_, rest)| rest.strip_suffix(']'));
    match (setting.kind, setting.default().as_deref().or(described)) {
        (Kind::List, _) => "[]".to_owned(),
        (Kind::Switch | Kind::Number, Some(default)) => default.to_owned(),
        (Kind::Size | Kind::Text, Some(default)) => quoted(default),
        (_, None) => quoted(setting.value_name()),
    }
}

/// A text in lines that are not longer than `width`, where words allow it.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

const INTRODUCTION: &str = "\
# Settings

Generated from the table of settings. After a change of a flag: `UPDATE=1 cargo test -p godex --test it settings`.

Every setting is a flag, a variable and a key of a file. A flag wins over its variable, which wins over the file, which wins over the
default. An empty variable is an unset one. What a key takes and what it does is what its flag takes and does, in every command that has
the flag.

## The file

`~/.config/godex/config.toml`, in `$XDG_CONFIG_HOME` when that is set; `--config FILE` or `GODEX_CONFIG` names another one, which then has
to be there. Without a file there is nothing to say.

```toml
color = \"auto\"

[proxy]
listen = \"127.0.0.1:39001\"
rate = \"120/m\"
burst = 20
allow_refresh = true
model_alias = [\"gpt-4o=gpt-5.5\", \"fast=gpt-6-luna\"]
max_body = \"64MiB\"
```

Texts stand in quotes, switches are `true` or `false`, numbers have no quotes, times are a number and a unit, `30s`, `15m` or `6h`, sizes
a number of bytes or a text like `64MiB`, lists are lists of texts. A path begins with `~` for the home folder; a relative one begins
where the command is run, as that of a flag does. A file with a key that there is not, or a value that its flag would refuse, is not used
at all: every command that would have read it says where the mistake is and what was meant, and ends with exit code 78.

A file with `api_key` in it should be readable for its owner only; every command that reads it warns when others can. `api_key_file`
keeps the key elsewhere, and managed keys need none of both.

| command | |
|---|---|
| `godex config init` | writes the file with every setting and its default, commented out; never over one that is there. `--print` prints it |
| `godex config check [FILE] [--json]` | says everything that is wrong with it, with line and column; exit code 78 when something is |
| `godex config set KEY VALUE…` | writes one setting, `proxy.rate` or `rate`, and leaves the rest of the file, comments included, as it is; a list has several values |
| `godex config unset KEY` | takes one key out, also one that there should not be |
| `godex config show [--origin] [--json]` | every setting as it counts, as a file, and with `--origin` where it comes from. It takes the flags of `godex proxy`. `api_key` is not shown |

The document of `config show --json` has `schema_version`, `file` (`path`, `exists`) and `settings`, each with `key`, `value` (null when
there is none), `hidden` (there is one that is not shown), `origin` (`flag`, `environment`, `file` or `default`), `line` in the file,
`flag` and `variable`. That of `config check --json` has `path`, `exists`, `ok`, `settings` (how many there are) and `problems`, each with
`line`, `column`, `message` and `help`.

## The settings
";
