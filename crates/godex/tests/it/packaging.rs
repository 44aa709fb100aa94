//! What the program is shipped with names only what there is: flags, variables, files. The
//! container itself is built nowhere here.

use std::fs;

use crate::pages::root;
use crate::program::Home;

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// What the program says of itself: the help of all commands.
fn reference() -> String {
    file("docs/cli.md")
}

#[test]
fn containers_name_only_flags_and_variables_that_there_are() {
    let reference = reference();
    let mut count = 0;
    for name in ["Dockerfile", "compose.yaml"] {
        // Of the Dockerfile only what is run counts: flags of its own instructions are Docker's.
        let text = file(name);
        let ours = text.lines().filter(|it| {
            let it = it.trim_start();
            it.contains("GODEX_")
                || ["CMD", "command:", "#   docker compose run"]
                    .iter()
                    .any(|start| it.starts_with(start))
        });
        for line in ours {
            let (_, line) = line.split_once("--rm").unwrap_or(("", line));
            for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))) {
                let known = if word.len() > 2 && word.starts_with("--") {
                    [" ", "[", "\n"].iter().any(|it| reference.contains(&format!(" {word}{it}")))
                } else if word.starts_with("GODEX_") {
                    reference.contains(&format!("[env: {word}]"))
                } else {
                    continue;
                };
                assert!(known, "{name} speaks of {word}");
                count += 1;
            }
        }
    }
    assert!(count >= 8, "only {count} flags and variables were found");
}

#[test]
fn containers_run_commands_that_there_are() {
    let home = Home::empty();
    let lists = [file("Dockerfile"), file("compose.yaml")].concat();
    let commands = lists.lines().filter_map(|line| {
        let start =
            ["CMD [", "command: ["].into_iter().find_map(|it| Some(line.split_once(it)?.1))?;
        Some(start.trim_end_matches(']').replace(['"', ','], ""))
    });
    let mut count = 0;
    for command in commands {
        let command = command.trim_start_matches("/usr/local/bin/godex ").to_owned();
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let ended = home.run(&words, &[]);
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
        count += 1;
    }
    assert_eq!(count, 4, "commands in Dockerfile and compose.yaml");
}

#[test]
fn the_image_is_built_with_the_rust_that_the_program_needs() {
    let manifest = file("Cargo.toml");
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(file("Dockerfile").contains(&format!("FROM rust:{version}-alpine AS build\n")));
}

#[test]
fn the_unit_of_the_package_is_that_of_the_program() {
    let printed = Home::empty().run(&["service", "install", "--print"], &[]).stdout;
    let program = format!("ExecStart={} proxy\n", env!("CARGO_BIN_EXE_godex"));
    assert!(printed.contains(&program), "{printed}");
    let packaged = printed.replace(&program, "ExecStart=/usr/bin/godex proxy\n");
    assert_eq!(file("contrib/godex.service"), packaged);
}

#[test]
fn the_package_lists_files_that_there_are_or_that_its_script_makes() {
    let script = file("contrib/package");
    let manifest = file("crates/godex/Cargo.toml");
    let (_, assets) = manifest.split_once("\nassets = [\n").unwrap();
    let (assets, _) = assets.split_once("\n]").unwrap();
    let mut count = 0;
    for line in assets.lines() {
        let source = line.split('"').nth(1).unwrap().trim_start_matches("../../");
        let made = source.strip_prefix("target/");
        let there = match made {
            Some("release/godex") => script.contains("cargo build --release"),
            Some(made) => script.contains(&format!("target/{}", made.trim_end_matches("/*.1"))),
            None => root().join(source).is_file(),
        };
        assert!(there, "nobody makes {source}");
        count += 1;
    }
    assert!(count >= 8, "only {count} files are packaged");
}
