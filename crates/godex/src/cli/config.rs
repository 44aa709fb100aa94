//! `godex config`: the settings file is shown with what else decides, written, and checked.

mod change;
mod reference;
mod show;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::{ArgMatches, Subcommand};
use serde_json::json;

pub use self::reference::reference;
use super::report::{Exit, Failure};
use super::settings;
use super::talk::{Talk, pretty};
use super::ways::Ways;
use crate::config::{File, FileError, IssuerAddress, Place, ProxyArgs, Surroundings};
use crate::store::file;

/// `godex config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(Box<Show>),
    /// Write a settings file with every setting and its default, commented out
    Init {
        /// Print it instead
        #[arg(long)]
        print: bool,
    },
    /// Write one setting into the settings file; the rest of it stays as it is
    Set {
        /// The setting, like proxy.rate
        #[arg(value_name = "KEY")]
        key: String,
        /// Its value as its flag takes it; several for a list
        #[arg(value_name = "VALUE", required = true, allow_hyphen_values = true)]
        values: Vec<String>,
    },
    /// Take one setting out of the settings file
    Unset {
        /// The setting, like proxy.rate
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Look for mistakes in a settings file
    Check {
        /// The file [default: that of --config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

/// Show every setting as it counts; takes the flags and variables of godex proxy, too
#[derive(Debug, clap::Args)]
struct Show {
    /// Say where each value comes from
    #[arg(long)]
    origin: bool,

    /// Write JSON, with origins
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: ProxyArgs,

    #[command(flatten)]
    issuer: IssuerAddress,
}

/// What the commands look at.
pub(super) struct World<'a> {
    /// Where the settings file is, if there is a place for one.
    pub(super) place: Option<&'a Place>,
    /// What it says.
    pub(super) file: &'a Result<Option<File>, FileError>,
    /// How each value of the command line came about.
    pub(super) matches: &'a ArgMatches,
}

/// Everybody's eyes are kept off the file: a key may be written into it.
const PRIVATE: u32 = file::PRIVATE;

/// Runs `godex config …`.
///
/// # Errors
///
/// When the file is not understood or cannot be written.
pub(super) fn run(
    args: Args,
    world: &World<'_>,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    match args.action {
        Action::Show(args) => show::run(&args, world, surroundings, talk),
        Action::Init { print: true } => talk.say(&reference::sample()),
        Action::Init { print: false } => init(world, talk),
        Action::Set { key, values } => {
            change::set(world.place.ok_or_else(homeless)?, &key, &values, talk)
        }
        Action::Unset { key } => change::unset(world.place.ok_or_else(homeless)?, &key, talk),
        Action::Check { file, json } => {
            let named = file.and_then(|it| Place::find(Some(&it), surroundings));
            match named.as_ref().or(world.place) {
                Some(place) => check(place, json, surroundings, talk),
                None => Err(homeless()),
            }
        }
    }
}

fn homeless() -> Failure {
    Failure::new(Exit::Usage, "there is no home folder to look for the settings file in")
        .help("set HOME or XDG_CONFIG_HOME, or name it with --config")
}

fn init(world: &World<'_>, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let path = &world.place.ok_or_else(homeless)?.path;
    let shown = path.display();
    if path.exists() {
        return Err(Failure::new(Exit::Failure, format!("{shown} is there already"))
            .cause("what is in it would be lost")
            .help("see what it says       godex config show --origin")
            .help("see every setting      godex config init --print"));
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let written = folder.map_or(Ok(()), fs::create_dir_all);
    let written =
        written.and_then(|()| file::replace(path, reference::sample().as_bytes(), PRIVATE));
    written.map_err(|error: io::Error| {
        Failure::new(Exit::Config, format!("cannot write {shown}"))
            .cause(error.to_string())
            .help("make its folder writable for this user, or name another file with --config")
    })?;
    talk.note(&format!("written: {shown}"));
    talk.note("  every setting is in it with its default; take the # off those that you change");
    let check = Ways::new(world.matches).with("godex config check", &[]);
    talk.note(&format!("  then         {check}"));
    Ok(Exit::Success)
}

/// Something that a file says and should not.
struct Mistake {
    place: Option<(usize, usize)>,
    what: String,
    help: String,
    text: Failure,
}

fn check(
    place: &Place,
    as_json: bool,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let shown = place.path.display().to_string();
    let read = place.read();
    let mistakes = match &read {
        Ok(None) => Vec::new(),
        Ok(Some(file)) => together(file, surroundings).into_iter().collect(),
        Err(FileError::Wrong { path, problems }) => {
            let mistake = |it: &crate::config::Problem| Mistake {
                place: Some((it.line, it.column)),
                what: it.what.clone(),
                help: it.help.clone(),
                text: Failure::new(Exit::Config, it.headline(path))
                    .excerpt(it.excerpt())
                    .help(it.help.clone()),
            };
            problems.iter().map(mistake).collect()
        }
        Err(error) => return Err(settings::unread(error)),
    };
    let exit = if mistakes.is_empty() { Exit::Success } else { Exit::Config };
    let file = read.as_ref().ok().and_then(Option::as_ref);
    if let Some(warning) = file.and_then(settings::exposed) {
        talk.note(&format!("warning: {warning}"));
    }
    let count = file.map_or(0, File::len);
    if as_json {
        let problem = |it: &Mistake| {
            let (line, column) = it.place.unzip();
            json!({"line": line, "column": column, "message": it.what, "help": it.help})
        };
        talk.say(&pretty(&json!({
            "schema_version": 1,
            "path": shown,
            "exists": !matches!(read, Ok(None)),
            "ok": mistakes.is_empty(),
            "settings": count,
            "problems": mistakes.iter().map(problem).collect::<Vec<_>>(),
        })))?;
    } else if matches!(read, Ok(None)) {
        talk.note(&format!("there is no settings file; godex config init writes {shown}"));
    } else if mistakes.is_empty() {
        talk.note(&format!("{shown} is in order: {count} settings"));
    } else {
        for mistake in &mistakes {
            // Nobody listens any more: the exit code still says it.
            let _ = mistake.text.print(talk.notes, surroundings.colour(io::stderr().is_terminal()));
        }
    }
    Ok(exit)
}

/// What a file says that is right alone and wrong together.
fn together(file: &File, surroundings: &Surroundings) -> Option<Mistake> {
    let flags = ProxyArgs::of_file(file)?;
    // A key that would come through standard input is not waited for.
    let error = flags.resolve(surroundings, &mut b"from-standard-input".as_slice()).err()?;
    let path = file.path().display();
    let what = format!("{path}: {error}");
    let text = Failure::new(Exit::Config, what).help(error.help());
    Some(Mistake { place: None, what: error.to_string(), help: error.help(), text })
}
