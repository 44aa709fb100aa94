//! `godex completions` and `godex man`: what shells and manuals know about the commands, made
//! from the commands themselves.

use std::fs;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

use super::command_line;
use super::report::{Exit, Failure};
use super::talk::Talk;
use crate::store::file;

/// `godex completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `godex man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for every command into this folder, instead of printing the first
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Anybody may read a manual.
const PUBLIC: u32 = 0o644;

/// Prints the completions of a shell.
///
/// # Errors
///
/// When the output cannot be written.
pub(super) fn completions(args: &Completions, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line::command(), "godex", &mut script);
    talk.say(&String::from_utf8_lossy(&script))
}

/// Prints the manual, or writes all of it.
///
/// # Errors
///
/// When a page cannot be written.
pub(super) fn man(args: &Man, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let mut command = command_line::command();
    command.build();
    let Some(folder) = &args.out else {
        let (_, page) = page(&command, "godex")?;
        return talk.say(&page);
    };
    let mut pages = Vec::new();
    collect(&command, "godex", &mut pages)?;
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    for (name, text) in &pages {
        let path = folder.join(name);
        file::replace(&path, text.as_bytes(), PUBLIC).map_err(|error| unwritable(&path, &error))?;
    }
    talk.note(&format!("{} pages in {}", pages.len(), folder.display()));
    Ok(Exit::Success)
}

fn collect(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    pages.push(page(command, name)?);
    for child in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help")
    {
        collect(child, &format!("{name}-{}", child.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str) -> Result<(String, String), Failure> {
    // The library wants a name that lives as long as the program.
    let named = command.clone().display_name(name.to_owned());
    let man = clap_mangen::Man::new(named)
        .title(name.to_uppercase())
        .source(concat!("godex ", env!("CARGO_PKG_VERSION")))
        .manual("godex");
    let mut text = Vec::new();
    man.render(&mut text).map_err(|error| {
        Failure::new(Exit::Failure, "cannot make the manual").cause(error.to_string())
    })?;
    Ok((format!("{name}.1"), String::from_utf8_lossy(&text).into_owned()))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("cannot write {}", path.display()))
        .cause(error.to_string())
        .help("name a folder that this user can write to: godex man --out ./man")
}
