//! The book: every page of `docs` is in its table of contents, no link leads nowhere, and the
//! page of errors is the program's table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::pages::{Page, all, page, root};

/// The links of a page that stay in the repository: file, relative to the page, and anchor.
fn links(page: &Page) -> Vec<(&str, &str)> {
    let targets = page.text.split("](").skip(1).filter_map(|it| it.split(')').next());
    let inside = targets.filter(|it| !it.starts_with("http") && !it.contains(['\n', ' ']));
    inside.map(|it| it.split_once('#').unwrap_or((it, ""))).collect()
}

/// The anchors of a document's headings, as a viewer makes them.
pub(crate) fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

fn resolved(page: &Page, file: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(&page.name).parent().unwrap().join(file).components() {
        if part == Component::ParentDir {
            assert!(path.pop(), "{}: {file} leaves the repository", page.name);
        } else {
            path.push(part);
        }
    }
    path
}

#[test]
fn no_link_of_a_page_leads_nowhere() {
    let mut pages = all();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "clients/README.md"] {
        pages.push(page(name));
    }
    let mut count = 0;
    for page in &pages {
        for (file, anchor) in links(page) {
            let path =
                if file.is_empty() { page.name.clone().into() } else { resolved(page, file) };
            let place = format!("{}: {file}#{anchor}", page.name);
            assert!(root().join(&path).exists(), "{place}: there is no {}", path.display());
            if !anchor.is_empty() {
                let text = fs::read_to_string(root().join(&path)).unwrap();
                assert!(anchors(&text).contains(anchor), "{place}: there is no such heading");
            }
            count += 1;
        }
    }
    assert!(count > 50, "only {count} links were found");
}

#[test]
fn the_table_of_contents_lists_every_page_once() {
    let summary = page("docs/SUMMARY.md");
    let mut listed: Vec<_> =
        links(&summary).iter().map(|(file, _)| format!("docs/{file}")).collect();
    listed.sort();
    let pages = all().into_iter().map(|it| it.name);
    let pages = pages.filter(|it| it.starts_with("docs/") && *it != summary.name);
    assert_eq!(listed, pages.collect::<Vec<_>>());
}

#[test]
fn every_error_of_the_program_is_explained_with_its_status_and_type() {
    // What every error looks like is a snapshot of its own; parameters have codes of their own.
    let table = root().join("crates/godex/src/serve/error/snapshots");
    let table =
        fs::read_dir(table).unwrap().map(|it| fs::read_to_string(it.unwrap().path()).unwrap());
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    for line in table.collect::<String>().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [status, kind, code, ..] = words[..] else { continue };
        if status.len() == 3 && status.parse::<u16>().is_ok() && !code.is_empty() {
            found.entry(code.to_owned()).or_default().insert(format!("{status} `{kind}`"));
        }
    }
    for code in
        ["invalid_type", "invalid_value", "unsupported_value", "previous_response_not_found"]
    {
        found.entry(code.to_owned()).or_default().insert("400 `invalid_request_error`".to_owned());
    }
    found
        .entry("insufficient_quota".to_owned())
        .or_default()
        .insert("429 `insufficient_quota`".to_owned());
    let text = page("docs/errors.md").text;
    let told = text.split("\n### ").skip(1).map(|it| {
        let mut lines = it.lines();
        let code = lines.next().unwrap().to_owned();
        let look = lines.nth(1).unwrap();
        assert!(lines.next() == Some("") && lines.next().is_some(), "{code} is not explained");
        (code, BTreeSet::from([look.to_owned()]))
    });
    assert_eq!(told.collect::<BTreeMap<_, _>>(), found);
}

#[test]
fn every_code_of_a_parameter_is_explained() {
    let explained = page("docs/errors.md").text;
    let mut folders = vec![root().join("crates/godex-core/src")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for code in text.split("refused.code = Some(\"").skip(1) {
                let code = code.split('"').next().unwrap();
                assert!(explained.contains(&format!("\n### {code}\n")), "{code} is not explained");
                count += 1;
            }
        }
    }
    assert!(count >= 4, "only {count} codes were found");
}
