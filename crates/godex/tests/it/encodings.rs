//! REQ14: request bodies that come packed.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::Method;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;

use crate::backend::hello;
use crate::client::{Call, Reply};
use crate::stage::{Stage, asked, play, question, together};

const PATHS: [&str; 2] = ["/v1/responses", "/v1/chat/completions"];

/// `{"model":"gpt-5.5","input":"hi"}` as br.
const BROTLI: &[u8] = &[
    0x8b, 0x0f, 0x80, 0x7b, 0x22, 0x6d, 0x6f, 0x64, 0x65, 0x6c, 0x22, 0x3a, 0x22, 0x67, 0x70, 0x74,
    0x2d, 0x35, 0x2e, 0x35, 0x22, 0x2c, 0x22, 0x69, 0x6e, 0x70, 0x75, 0x74, 0x22, 0x3a, 0x22, 0x68,
    0x69, 0x22, 0x7d, 0x03,
];
/// A mebibyte of `a` as br.
const BROTLI_MEBIBYTE: &[u8] =
    &[0x5b, 0xff, 0xff, 0x8f, 0x5f, 0x22, 0x2c, 0x1e, 0x0b, 0x04, 0x72, 0xef, 0x1f, 0x00];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

fn packed(path: &str, encoding: &str, body: Vec<u8>) -> Call {
    Call::new(Method::POST, path, body).header("content-encoding", encoding)
}

#[test]
fn req14_every_coding_is_read_on_both_endpoints() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for (path, body) in PATHS.iter().zip([question("packed"), asked("packed")]) {
            let body = body.to_string().into_bytes();
            for (encoding, bytes) in [
                ("identity", body.clone()),
                ("zstd", zstd(&body)),
                ("gzip", gzip(&body)),
                ("x-gzip", gzip(&body)),
                ("deflate", zlib(&body)),
                ("Deflate", deflate(&body)),
                ("identity, GZIP", gzip(&body)),
            ] {
                let reply = stage.proxy.send(packed(path, encoding, bytes)).await;
                assert_eq!(reply.status, 200, "{path} {encoding}: {}", reply.body);
                let text = &stage.last_body()["input"][0]["content"][0]["text"];
                assert_eq!(text, "packed", "{path} {encoding}");
            }
        }
        let reply = stage.proxy.send(packed(PATHS[0], "br", BROTLI.to_vec())).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(stage.last_body()["input"][0]["content"][0]["text"], "hi");
    });
}

#[test]
fn req14_what_is_not_read_is_refused_with_what_is() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for encoding in ["snappy", "gzip, lzma", "compress", "gzip, zstd"] {
            let reply = stage.proxy.send(packed(PATHS[0], encoding, b"{}".to_vec())).await;
            assert_eq!(reply.error().0, 415, "{}", reply.body);
            assert_eq!(reply.error().2, "unsupported_content_encoding");
            assert_eq!(reply.header("accept-encoding"), "zstd, gzip, deflate, br");
        }
        for encoding in ["zstd", "gzip", "deflate", "br"] {
            for body in [&b"{\"input\":\"hi\"}"[..], b""] {
                let reply = stage.proxy.send(packed(PATHS[0], encoding, body.to_vec())).await;
                assert_eq!(reply.error().0, 400, "{encoding}: {}", reply.body);
                assert_eq!(reply.error().2, "invalid_content_encoding");
            }
        }
        let cut = gzip(question("hi").to_string().as_bytes());
        let cut = cut[..cut.len() - 3].to_vec();
        assert_eq!(stage.proxy.send(packed(PATHS[1], "gzip", cut)).await.error().0, 400);
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn req14_the_limit_is_on_what_was_packed_and_bombs_stop_there() {
    play(async {
        let stage = Stage::on_mock(&["--max-body=512KiB"]).await;
        let zeros = vec![b' '; 32 << 20];
        let bombs = [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("zstd", zstd(&zeros)),
            ("br", BROTLI_MEBIBYTE.to_vec()),
        ];
        drop(zeros);
        let calls = bombs.iter().filter(|(_, bomb)| bomb.len() < 512 << 10);
        let calls: Vec<_> = calls
            .flat_map(|(encoding, bomb)| PATHS.map(|path| packed(path, encoding, bomb.clone())))
            .collect();
        assert!(calls.len() >= 6);
        for reply in together(calls.into_iter().map(|call| stage.proxy.send(call))).await {
            assert_eq!(reply.error().0, 413, "{}", reply.body);
            assert_eq!(reply.error().2, "request_too_large");
        }
        let peak = stage.proxy.peak_memory();
        assert!(peak < 60 << 20, "{peak} bytes were held");
        assert!(stage.sent().is_empty());

        let fits = json!({ "model": "gpt-5.5", "input": "a".repeat(500 << 10) }).to_string();
        let reply = stage.proxy.send(packed(PATHS[0], "zstd", zstd(fits.as_bytes()))).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    });
}

#[test]
fn req14_layers_that_would_be_unpacked_for_nothing_are_refused_unread() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        // 64 MiB in a zstd frame that is skipped, in a few hundred bytes.
        let nothing = [[0x50, 0x2a, 0x4d, 0x18], (64_u32 << 20).to_le_bytes()].concat();
        let mut once = GzEncoder::new(Vec::new(), Compression::best());
        let mut zeros = io::Cursor::new(nothing).chain(io::repeat(0).take(64 << 20));
        io::copy(&mut zeros, &mut once).unwrap();
        let bomb = gzip(&once.finish().unwrap());
        assert!(bomb.len() < 2000, "{}", bomb.len());
        for path in PATHS {
            let reply = stage.proxy.send(packed(path, "zstd, gzip, gzip", bomb.clone())).await;
            assert_eq!(reply.error().0, 415, "{}", reply.body);
            assert!(reply.body.contains("'zstd, gzip, gzip'"), "{}", reply.body);
            assert!(reply.body.contains("one at a time"), "{}", reply.body);
        }
        assert!(stage.sent().is_empty());
    });
}

#[test]
fn req14_unpacking_is_paid_for_by_the_rate() {
    play(async {
        let stage = Stage::on_mock(&["--rate=1/h", "--burst=2"]).await;
        let bomb = gzip(&vec![b' '; 65 << 20]);
        let send = |bytes: &[u8]| stage.proxy.send(packed(PATHS[0], "gzip", bytes.to_vec()));
        let reply = send(&bomb).await;
        assert_eq!(reply.error().0, 413, "{}", reply.body);
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), "1");
        assert_eq!(send(b"no gzip").await.error().0, 400);
        for bytes in [&bomb[..], b"no gzip"] {
            assert_eq!(send(bytes).await.error().2, "rate_limit_exceeded");
        }
    });
}

#[test]
fn req14_the_quota_holds_what_a_packed_body_stands_for() {
    play(async {
        let stage = Stage::on_mock(&["--quota-tokens=1000000"]).await;
        let body = question(&"a".repeat(400_000)).to_string().into_bytes();
        let plain = stage.proxy.send(Call::new(Method::POST, PATHS[0], body.clone())).await;
        let left = |reply: &Reply| -> u64 {
            assert_eq!(reply.status, 200, "{}", reply.body);
            reply.header("x-ratelimit-remaining-tokens").parse().unwrap()
        };
        let before = stage.proxy.get("/v1/usage").await.json()["tokens"]["remaining"].clone();
        let held = 1_000_000 - left(&plain);
        assert!(held > 100_000, "{held}");
        let reply = stage.proxy.send(packed(PATHS[0], "gzip", gzip(&body))).await;
        assert_eq!(before.as_u64().unwrap() - left(&reply), held);
    });
}

#[test]
fn req14_many_packed_bodies_at_once_are_unpacked_one_after_another() {
    const EACH: usize = 16 << 20;
    play(async {
        let mut stage = Stage::on_backend(&["--workers=2"]).await;
        stage.backend.always(hello());
        let text = format!(r#"{{"model":"gpt-5.5","input":[{}"#, " ".repeat(EACH));
        let body = gzip(text.as_bytes());
        let begun = stage.proxy.peak_memory();
        let calls =
            (0..16).map(|_| stage.proxy.send(packed("/v1/responses", "gzip", body.clone())));
        for refused in together(calls).await {
            assert_eq!(refused.status, 400);
        }
        let grown = stage.proxy.peak_memory() - begun;
        assert!(grown < 6 * EACH as u64, "{} MiB", grown >> 20);
    });
}
