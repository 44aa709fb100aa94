//! What is there stays, what is needed is there.

use super::super::recipes::Client;
use super::*;

fn target() -> Target {
    Target {
        url: "http://127.0.0.1:39001/v1".to_owned(),
        key: Some("gxk_secret".to_owned()),
        model: "gpt-5.5".to_owned(),
    }
}

type Edit = fn(Option<&str>, &Target) -> Result<String, Unclear>;

#[track_caller]
fn check(edit: Edit, old: &str, expected: &str) {
    let found = edit(Some(old), &target()).unwrap();
    assert_eq!(found, expected, "\n{found}");
    assert_eq!(edit(Some(&found), &target()).unwrap_or(found.clone()), found, "twice is once");
}

#[track_caller]
fn refuse(edit: Edit, old: &str, why: &str) {
    let error = edit(Some(old), &target()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn the_files_made_from_nothing() {
    let made = [codex as Edit, openclaw, opencode, aider, continue_dev]
        .map(|edit| edit(None, &target()).unwrap());
    insta::assert_snapshot!(made.join("----\n"));
    let keyless = Target { key: None, ..target() };
    assert!(codex(None, &keyless).unwrap().contains("env_key = \"OPENAI_API_KEY\""));
}

#[test]
fn toml_keeps_its_comments_its_order_and_its_other_providers() {
    let old = "# mine\nmodel = 'o3' # the old one\napproval_policy = \"never\"\n\n[model_providers.x]\nname = \"x\"\n\n[tui]\nnotifications = true # yes\n";
    let expected = "# mine\nmodel = \"gpt-5.5\" # the old one\napproval_policy = \"never\"\nmodel_provider = \"godex\"\n\n[model_providers.x]\nname = \"x\"\n\n[model_providers.godex]\nname = \"godex\"\nbase_url = \"http://127.0.0.1:39001/v1\"\nexperimental_bearer_token = \"gxk_secret\"\nwire_api = \"responses\"\n\n[tui]\nnotifications = true # yes\n";
    check(codex, old, expected);
    check(
        codex,
        "model_providers = { x = { name = \"x\" } }\n",
        "model_providers = { x = { name = \"x\" } , godex = { name = \"godex\", base_url = \"http://127.0.0.1:39001/v1\", experimental_bearer_token = \"gxk_secret\", wire_api = \"responses\" } }\nmodel = \"gpt-5.5\"\nmodel_provider = \"godex\"\n",
    );
    refuse(codex, "model = ", "TOML parse error at line 1");
    refuse(codex, "model_providers = 3", "model_providers is not a table");
}

#[test]
fn json5_keeps_its_comments_and_its_other_values() {
    let old = "// mine\n{\n  models: {\n    providers: { other: { baseUrl: 'x' } }, // keep\n  },\n  agents: { defaults: { model: \"other/m\", workspace: '~/w' } },\n}\n";
    let found = openclaw(Some(old), &target()).unwrap();
    for kept in ["// mine", "// keep", "other: { baseUrl: 'x' }", "workspace: '~/w'"] {
        assert!(found.contains(kept), "{kept} in\n{found}");
    }
    let read = CstRootNode::parse(&found, &ParseOptions::default()).unwrap();
    let read = read.to_serde_value().unwrap();
    assert_eq!(read["models"]["mode"], "merge");
    assert_eq!(read["models"]["providers"]["godex"]["api"], "openai-responses");
    assert_eq!(read["models"]["providers"]["other"]["baseUrl"], "x");
    assert_eq!(read["agents"]["defaults"]["model"], "godex/gpt-5.5");
    assert_eq!(read["agents"]["defaults"]["models"]["godex/gpt-5.5"]["alias"], "Codex (proxy)");
    assert_eq!(openclaw(Some(&found), &target()).unwrap(), found);

    let kept = "{ models: { mode: 'replace' }, agents: { defaults: { model: { primary: 'x', fallbacks: ['y'] } } } }";
    let found = openclaw(Some(kept), &target()).unwrap();
    let read = CstRootNode::parse(&found, &ParseOptions::default()).unwrap();
    let read = read.to_serde_value().unwrap();
    assert_eq!(read["models"]["mode"], "replace");
    assert_eq!(
        read["agents"]["defaults"]["model"],
        json!({"primary": "godex/gpt-5.5", "fallbacks": ["y"]})
    );
    refuse(openclaw, "{ models: [] }", "`models` in it is not an object");
    refuse(openclaw, "{ models: ", "it is not JSON");
    refuse(opencode, "[]", "it is not a JSON object");
}

#[test]
fn flat_yaml_has_its_lines_replaced_or_added() {
    let url = "openai-api-base: \"http://127.0.0.1:39001/v1\"\n";
    let rest = "openai-api-key: \"gxk_secret\"\n";
    let model = "model: \"openai/gpt-5.5\"\n";
    check(
        aider,
        "# mine\nmodel: o3\ndark-mode: true",
        &format!("# mine\n{model}dark-mode: true\n{url}{rest}"),
    );
    check(aider, "read:\n  - a\n  - b\n", &format!("read:\n  - a\n  - b\n{url}{rest}{model}"));
    check(aider, "models: x\n", &format!("models: x\n{url}{rest}{model}"));
    // What stands around a value stays: its comment, its place, the form of its name.
    check(
        aider,
        "model: 'o3' # mine\n\"openai-api-base\":   é\nopenai-api-key:\ndark-mode: [a, 'b]']\n",
        "model: \"openai/gpt-5.5\" # mine\n\"openai-api-base\":   \"http://127.0.0.1:39001/v1\"\nopenai-api-key: \"gxk_secret\"\ndark-mode: [a, 'b]']\n",
    );
    let kept = format!("{model}{url}{rest}").replace('\n', " # it's \"mine\"\n");
    for old in ["'it''s # 1'", "\"a \\\" # b \\\\\"", "a#b 'c'"] {
        let line = |name: &str| format!("{name}: {old} # it's \"mine\"\n");
        let old = [line("model"), line("openai-api-base"), line("openai-api-key")].concat();
        check(aider, &old, &kept);
    }
    check(aider, "model: o3\t# mine\n", &format!("{}\t# mine\n{url}{rest}", model.trim_end()));
    check(aider, "é: &x ü\nb: *x\n", &format!("é: &x ü\nb: *x\n{url}{rest}{model}"));
    for broken in ["model: [a, b\n", "x: \"y\n", "x: y: z\n", "x:\n\ty: 1\n", "x: |\n  y\n - z\n"] {
        refuse(aider, broken, "it is not YAML: ");
        refuse(continue_dev, broken, "it is not YAML: ");
    }
    refuse(aider, "model: x\nmodel: y\n", "`model` comes twice");
    refuse(aider, "model: |\n  x\n", "`model` in it has more than one line");
    refuse(aider, "just words\n", "plain `name: value` lines");
    refuse(aider, "{model: x}", "plain `name: value` lines");
    refuse(aider, "- model\n", "it is a list");
    refuse(aider, "model:\n  - x\n", "`model` in it has more than one line");
    refuse(aider, "model: x\n---\nmodel: y\n", "several documents");
}

#[test]
fn lines_end_as_they_did() {
    let edited = |client: Client, old: &str| client.edit(Some(old), &target()).unwrap();
    let toml = edited(Client::Codex, "model = \"o3\" # mine\r\n[tui]\r\nx = 1\r\n");
    assert!(toml.starts_with("model = \"gpt-5.5\" # mine\r\n"), "{toml:?}");
    let yaml = edited(Client::Aider, "model: o3 # mine\r\nx: y\r\n");
    assert!(yaml.starts_with("model: \"openai/gpt-5.5\" # mine\r\nx: y\r\n"), "{yaml:?}");
    let json = edited(Client::Opencode, "{\r\n  \"x\": 1\r\n}\r\n");
    for text in [toml, yaml, json] {
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
        assert!(!text.contains("\r\r"));
    }
    assert!(!edited(Client::Aider, "x: y\n").contains('\r'));
}

#[test]
fn a_list_in_yaml_gets_one_more_item_with_the_same_indent() {
    let fields = |indent: &str| {
        format!(
            "{indent}- name: godex\n{indent}  provider: \"openai\"\n{indent}  model: \"gpt-5.5\"\n\
             {indent}  apiBase: \"http://127.0.0.1:39001/v1\"\n{indent}  apiKey: \"gxk_secret\"\n"
        )
    };
    let same = |old: &str, expected: String| {
        assert_eq!(continue_dev(Some(old), &target()).unwrap(), expected);
    };
    same(
        "name: me\nmodels:\n  - name: x\n    model: y\nrules: []\n",
        format!("name: me\nmodels:\n{}  - name: x\n    model: y\nrules: []\n", fields("  ")),
    );
    same("models: # mine\n- name: x\n", format!("models: # mine\n{}- name: x\n", fields("")));
    same("name: me", format!("name: me\nmodels:\n{}", fields("  ")));
    same("models:\nrules: []\n", format!("models:\n{}rules: []\n", fields("  ")));
    refuse(continue_dev, "models: [a, b]\n", "not a list of lines");
    refuse(continue_dev, "models:\n  - name: 'godex'\n", "a model named `godex` already");
}
