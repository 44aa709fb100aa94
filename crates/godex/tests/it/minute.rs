//! The first minute of somebody new, in an empty home, by what the screen says alone.

use std::fs;
use std::io::{BufRead, BufReader};

use godex_mock::{Mock, Options, TokenPolicy};

use crate::client::{Call, http};
use crate::program::Home;
use crate::readme::{curl, words_of_curl};
use crate::stage::{play, question};

#[test]
fn somebody_new_gets_from_nothing_to_a_metered_answer_by_what_the_screen_says() {
    play(async {
        let home = Home::empty();
        let refused = home.run(&["proxy"], &[]);
        assert_eq!(refused.code, Some(4));
        assert!(refused.stderr.contains("godex login ") && refused.stderr.contains("--device"));

        // Just trying it out.
        assert!(refused.stderr.contains("godex proxy --mock"));
        let trying = home.serve(&["proxy", "--mock", "--listen=:0"], &[]);
        let (_, script) = trying.banner.split_once("  try it\n").unwrap();
        let script = script.to_owned();
        let answer = tokio::task::spawn_blocking(move || curl(&words_of_curl(&script)));
        assert!(answer.await.unwrap().contains("Mock answer to: hello"));
        drop(trying);

        // Signing in on a server.
        let options =
            Options { tokens: TokenPolicy::Issued, device_interval: 1, ..Options::default() };
        let mock = Mock::start(options).await.unwrap();
        let issuer = mock.issuer();
        let mut login = home.godex(&["login", "--device", "--issuer", &issuer]).spawn().unwrap();
        let said = BufReader::new(login.stderr.take().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        let code = lines.find_map(|it| Some(it.split_once("enter code")?.1.trim().to_owned()));
        assert!(mock.enter_code(&code.unwrap(), true));
        let rest: String = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(login.wait().unwrap().code(), Some(0), "{rest}");

        // What it says is next.
        for next in ["godex proxy keys add --label my-laptop", "godex proxy --allow-refresh"] {
            assert!(rest.contains(next), "{rest}");
        }
        assert_eq!(home.run(&["proxy", "keys", "add", "--label", "my-laptop"], &[]).code, Some(0));
        let base = mock.base_url();
        let serve = ["proxy", "--allow-refresh", "--listen=:0", "--base-url", &base];
        let serving = home.serve(&serve, &[]);
        let connect = ["connect", "codex", "--write", "--listen", serving.address()];
        let connected = home.run(&connect, &[]);
        assert_eq!(connected.code, Some(0), "{}", connected.stderr);
        assert!(connected.stderr.contains("  next        codex\n"), "{}", connected.stderr);

        // What the client finds in its file is all that it needs.
        let file = fs::read_to_string(home.path().join(".codex/config.toml")).unwrap();
        let value = |name: &str| {
            let line = file.lines().find(|it| it.starts_with(&format!("{name} = "))).unwrap();
            line.split('"').nth(1).unwrap().to_owned()
        };
        assert_eq!(value("base_url"), serving.url);
        let key = value("experimental_bearer_token");
        let asked = Call::responses(&question("hi")).key(&key);
        asked.open(&http(), serving.address()).await.rest().await.fine();
        let usage = home.run(&["proxy", "usage", "list"], &[]).stdout;
        assert!(usage.contains("  codex "), "{usage}");
        let status = home.run(&["status"], &[]).stdout;
        assert!(status.contains("0 running, 1 served, 0 failed"), "{status}");
    });
}
