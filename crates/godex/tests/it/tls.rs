//! TLS towards clients, and what is refused without it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::program::Home;
use crate::stage::{KEY, Proxy, play};
use crate::wire::answers;

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Writes a certificate for `localhost` and its key; what a client has to trust.
fn certify(home: &Home) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    home.write("cert.pem", &pem("CERTIFICATE", made.cert.der()));
    home.write("key.pem", &pem("PRIVATE KEY", &made.signing_key.serialize_der()));
    made.cert.der().clone()
}

/// The status of a request over TLS; nothing if the certificate is not the trusted one.
async fn status(address: &str, trusted: &CertificateDer<'static>) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(name, socket).await.ok()?;
    let request = format!(
        "GET /v1/usage HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    Some(answers(&heard).remove(0).status)
}

fn files(home: &Path) -> [String; 2] {
    let path = |name| home.join(name).display().to_string();
    [format!("--tls-cert={}", path("cert.pem")), format!("--tls-key={}", path("key.pem"))]
}

#[test]
fn with_a_certificate_connections_are_private_and_a_hangup_reads_a_new_one() {
    play(async {
        let home = Home::logged_in();
        let first = certify(&home);
        let [cert, key] = files(home.path());
        let proxy = Proxy::start(&home, "http://127.0.0.1:9/x", &[&cert, &key], &[]).await;
        assert!(proxy.said().contains("https://127.0.0.1:"), "{}", proxy.said());
        assert_eq!(status(&proxy.address, &first).await, Some(200));

        home.write("cert.pem", "nonsense");
        proxy.signal("HUP");
        proxy.says("the last good certificate stays in use").await;
        proxy.says("have been looked at again").await;
        assert_eq!(status(&proxy.address, &first).await, Some(200));

        let second = certify(&home);
        proxy.signal("HUP");
        proxy.says_times("have been looked at again", 2).await;
        assert_eq!(status(&proxy.address, &second).await, Some(200));
        assert_eq!(status(&proxy.address, &first).await, None);
        // Who speaks no TLS gets nothing, and harms nobody.
        let plain = crate::wire::said(&proxy.address, b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
        assert!(!String::from_utf8_lossy(&plain.await).contains("godex"));
        proxy.signal("TERM");
        assert!(proxy.end().await.success());
    });
}

#[test]
fn a_client_is_connected_by_https_to_a_proxy_that_speaks_tls() {
    let home = Home::logged_in();
    certify(&home);
    let [cert, key] = files(home.path());
    let add = home.run(&["proxy", "keys", "add"], &[]);
    assert_eq!(add.code, Some(0), "{}", add.stderr);
    let serving = home.serve(&["proxy", "--listen=:0", &cert, &key], &[]);
    let listen = serving.address().replace("https://", "--listen=");
    let url = format!("{}/v1", serving.address());
    let written = home.run(&["connect", "codex", "--write", &listen], &[]);
    // The certificate is nobody's here, and somebody runs there all the same.
    assert!(written.stderr.contains(&format!(" at {url}\n")), "{}", written.stderr);
    assert!(written.stderr.ends_with("  next        codex\n"), "{}", written.stderr);
    assert!(home.run(&["status", &listen], &[]).stdout.contains(&url));
    let looked_at = home.run(&["doctor", "--offline", &listen], &[]).stdout;
    assert!(looked_at.contains(", with TLS\n"), "{looked_at}");
    assert!(looked_at.contains("✓ codex       uses the proxy"), "{looked_at}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_an_error_of_configuration() {
    let home = Home::logged_in();
    certify(&home);
    let [cert, key] = files(home.path());
    let other = pem("PRIVATE KEY", &rcgen::KeyPair::generate().unwrap().serialize_der());
    for (name, text, said) in [
        ("key.pem", other.as_str(), "cannot be used together"),
        ("key.pem", "nonsense", "holds no private key"),
        ("cert.pem", "", "holds no certificate"),
    ] {
        home.write(name, text);
        let ended = home.run(&["proxy", "--listen=:0", "--api-key=k", &cert, &key], &[]);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(said) && ended.stderr.contains("--tls-key"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("PRIVATE KEY"));
    }
    let alone = home.run(&["proxy", &cert], &[]);
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("--tls-key"), "{}", alone.stderr);
}

/// What doctor says about the certificate and about who can read its key: status and words.
fn looked_at(home: &Home, flags: &[&str]) -> [(String, String); 2] {
    let arguments = [&["doctor", "--json", "--offline", "--api-key=k"], flags].concat();
    let ended = home.run(&arguments, &[]);
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    let wrong = found["overall_status"] == "fail";
    assert_eq!(ended.code, Some(i32::from(wrong)), "{found:#}");
    ["tls", "tls-mode"].map(|id| {
        let row = found["checks"].as_array().unwrap().iter().find(|it| it["id"] == id);
        let text = |name: &str| row.and_then(|it| it[name].as_str()).unwrap_or_default().to_owned();
        (text("status"), text("summary") + "\n" + &text("remedy"))
    })
}

#[test]
fn doctor_and_a_service_read_the_certificate_as_the_proxy_does() {
    let home = Home::logged_in();
    certify(&home);
    let [cert, key] = files(home.path());
    let check = |flags: &[&str], expected: &str, said: &str, mode: &str| {
        let [tls, private] = looked_at(&home, flags);
        assert_eq!(tls.0, expected, "{tls:?}");
        assert!(tls.1.contains(said), "{tls:?}");
        assert_eq!(private.0, mode, "{private:?}");
        let installed = [&["service", "install", "--print", "--", "--api-key=k"], flags].concat();
        let ended = home.run(&installed, &[]);
        let code = if expected == "fail" { 78 } else { 0 };
        assert_eq!(ended.code, Some(code), "{flags:?}: {}", ended.stderr);
        private.1
    };
    check(&[], "", "", "");
    let open = check(&[&cert, &key], "ok", "~/cert.pem", "warn");
    assert!(open.ends_with("chmod 600 ~/key.pem"), "{open}");
    fs::set_permissions(home.path().join("key.pem"), Permissions::from_mode(0o600)).unwrap();
    check(&[&cert, &key], "ok", "", "ok");
    // As the service finds them, which begins in the home folder.
    check(&["--tls-cert=cert.pem", "--tls-key=key.pem"], "ok", "", "ok");
    let missing = ["--tls-cert=/nope.pem", "--tls-key=/nope2.pem"];
    check(&missing, "fail", "/nope.pem holds no certificate that can be read: ", "");
    check(&[&cert, "--tls-key=~/nope.pem"], "fail", "with --tls-cert and --tls-key", "");
    for (ends, begins, said) in [(2020, 2019, "has ended"), (2999, 2998, "is not valid yet")] {
        let mut asked = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        asked.not_before = rcgen::date_time_ymd(begins, 1, 1);
        asked.not_after = rcgen::date_time_ymd(ends, 1, 1);
        let signing = rcgen::KeyPair::generate().unwrap();
        let made = asked.self_signed(&signing).unwrap();
        home.write("cert.pem", &pem("CERTIFICATE", made.der()));
        home.write("key.pem", &pem("PRIVATE KEY", &signing.serialize_der()));
        check(&[&cert, &key], "warn", said, "ok");
    }
    certify(&home);
    let other = rcgen::KeyPair::generate().unwrap().serialize_der();
    home.write("key.pem", &pem("PRIVATE KEY", &other));
    check(&[&cert, &key], "fail", "cannot be used together", "ok");
}

#[test]
fn other_machines_are_served_only_in_a_way_that_was_asked_for() {
    let home = Home::empty();
    home.write("cert.pem", "");
    home.write("key.pem", "");
    let [cert, key] = files(home.path());
    // A home without a login ends whatever is in order.
    let check = |more: &[&str], variables: &[(&str, &str)], expected: Option<&str>| {
        let fixed = ["proxy", "--listen=0.0.0.0:0"];
        let ended = home.run(&[&fixed, more].concat(), variables);
        let code = if expected.is_some() { 2 } else { 4 };
        assert_eq!(ended.code, Some(code), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected.unwrap_or_default()), "{}", ended.stderr);
    };
    check(&["--api-key=k"], &[], Some("--insecure-http"));
    check(&[], &[], Some("--tls-cert CERT.pem --tls-key KEY.pem"));
    check(&["--api-key=k", "--insecure-http"], &[], None);
    check(&["--api-key=k"], &[("GODEX_PROXY_INSECURE_HTTP", "1")], None);
    check(&["--api-key=k", &cert, &key], &[], None);
    check(&["--allow-any-key"], &[], Some("--insecure-any-key"));
    check(&["--allow-any-key", "--insecure-http"], &[], Some("--insecure-any-key"));
    check(&["--allow-any-key", &cert, &key], &[], Some("--insecure-any-key"));
    check(&["--allow-any-key", "--insecure-any-key"], &[], None);
    check(&["--allow-any-key"], &[("GODEX_PROXY_INSECURE_ANY_KEY", "true")], None);
    check(&["--insecure-any-key"], &[], Some("--insecure-http"));
}
