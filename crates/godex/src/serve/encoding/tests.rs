//! Bodies that are packed well, badly, and to do harm.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

const LIMIT: usize = 1 << 20;
const TEXT: &[u8] = br#"{"model":"gpt-5.5","input":"hi"}"#;
/// `TEXT` as br.
const BROTLI: &[u8] = &[
    0x8b, 0x0f, 0x80, 0x7b, 0x22, 0x6d, 0x6f, 0x64, 0x65, 0x6c, 0x22, 0x3a, 0x22, 0x67, 0x70, 0x74,
    0x2d, 0x35, 0x2e, 0x35, 0x22, 0x2c, 0x22, 0x69, 0x6e, 0x70, 0x75, 0x74, 0x22, 0x3a, 0x22, 0x68,
    0x69, 0x22, 0x7d, 0x03,
];
/// A mebibyte of `a` as br.
const BROTLI_MEBIBYTE: &[u8] =
    &[0x5b, 0xff, 0xff, 0x8f, 0x5f, 0x22, 0x2c, 0x1e, 0x0b, 0x04, 0x72, 0xef, 0x1f, 0x00];

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
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

/// A zstd frame to be skipped: `length` zeros.
fn skipped(length: u32) -> Vec<u8> {
    let start = [[0x50, 0x2a, 0x4d, 0x18], length.to_le_bytes()].concat();
    [start, vec![0; length as usize]].concat()
}

fn coding(names: &str) -> Result<Option<Coding>, ApiError> {
    of(&HeaderMap::from_iter([(CONTENT_ENCODING, names.parse().unwrap())]))
}

fn unpacked(body: &[u8], coding: Coding, limit: usize) -> Result<Bytes, ApiError> {
    let wanting = Arc::new(());
    decode(body, coding, limit, Arc::downgrade(&wanting))
}

fn decoded(names: &str, body: &[u8]) -> Result<Bytes, ApiError> {
    match coding(names).unwrap() {
        Some(coding) => unpacked(body, coding, LIMIT),
        None => Ok(Bytes::copy_from_slice(body)),
    }
}

#[test]
fn every_coding_is_taken_off() {
    #[track_caller]
    fn check(names: &str, body: &[u8]) {
        assert_eq!(decoded(names, body).unwrap(), TEXT, "{names}");
    }
    check("identity", TEXT);
    check("zstd", &zstd(TEXT));
    check("gzip", &gzip(TEXT));
    check("X-GZIP", &gzip(TEXT));
    check("deflate", &zlib(TEXT));
    check("deflate", &deflate(TEXT));
    check("br", BROTLI);
    check("identity,, br , identity", BROTLI);
}

#[test]
fn codings_on_several_lines_are_read_as_on_one() {
    let of_lines = |lines: [&str; 2]| {
        of(&lines.into_iter().map(|it| (CONTENT_ENCODING, it.parse().unwrap())).collect())
    };
    assert_eq!(of_lines(["identity", "zstd"]).unwrap(), Some(Coding::Zstd));
    let refused = of_lines(["gzip", "zstd"]);
    assert!(matches!(&refused, Err(ApiError::Encoding(it)) if it == "gzip, zstd"), "{refused:?}");
    assert_eq!(of(&HeaderMap::new()).unwrap(), None);
}

#[test]
fn other_codings_and_more_than_one_are_refused_by_name() {
    for names in ["compress", "gzip, lzma", "gzip;q=1", "gzip, gzip", "zstd, identity, gzip, gzip"]
    {
        let refused = coding(names).unwrap_err();
        assert!(matches!(&refused, ApiError::Encoding(it) if it == names), "{names}: {refused:?}");
    }
}

#[test]
fn what_consists_of_several_parts_is_read_to_the_end() {
    let (head, tail) = TEXT.split_at(7);
    let empty = skipped(3);
    assert_eq!(decoded("gzip", &[gzip(head), gzip(tail)].concat()).unwrap(), TEXT);
    assert_eq!(decoded("zstd", &[&zstd(head)[..], &empty, &zstd(tail)].concat()).unwrap(), TEXT);
}

#[test]
fn a_body_that_is_cut_off_or_damaged_is_not_taken_for_a_whole_one() {
    let long: Vec<u8> =
        (0..5000_u32).flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for (names, body) in [
        ("gzip", gzip(&long)),
        ("deflate", zlib(&long)),
        ("zstd", zstd(&long)),
        ("br", BROTLI.to_vec()),
    ] {
        for end in [0, 1, 5, body.len() / 2, body.len() - 1] {
            let cut = decoded(names, &body[..end]);
            assert!(matches!(cut, Err(ApiError::Garbled(_))), "{names} up to {end}: {cut:?}");
        }
        assert!(matches!(decoded(names, TEXT), Err(ApiError::Garbled(_))), "{names}");
    }
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let (full, over) = (vec![b' '; LIMIT], vec![b' '; LIMIT + 1]);
    for (names, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", zlib), ("zstd", zstd)]
    {
        assert_eq!(decoded(names, &pack(&full)).unwrap().len(), LIMIT, "{names}");
        let refused = decoded(names, &pack(&over));
        assert!(matches!(refused, Err(ApiError::TooLarge { limit: LIMIT })), "{names}");
    }
    assert_eq!(decoded("br", BROTLI_MEBIBYTE).unwrap().len(), LIMIT);
    let refused = unpacked(BROTLI_MEBIBYTE, Coding::Brotli, LIMIT - 1);
    assert!(matches!(refused, Err(ApiError::TooLarge { .. })));
}

#[test]
fn frames_that_hold_nothing_cannot_be_multiplied_by_another_coding() {
    let nothing = skipped(1 << 20);
    assert_eq!(decoded("zstd", &nothing).unwrap(), "");
    let bomb = gzip(&nothing);
    assert!(bomb.len() < 2000, "{} bytes for a mebibyte of work", bomb.len());
    assert!(matches!(coding("zstd, gzip"), Err(ApiError::Encoding(_))));
    // Alone, a coding is read from the body that came, which the length of a frame cannot outgrow.
    let longer = [&skipped(0)[..4], &u32::MAX.to_le_bytes(), &[0; 100]].concat();
    assert!(matches!(decoded("zstd", &longer), Err(ApiError::Garbled("zstd"))));
    assert!(matches!(decoded("gzip", &bomb), Err(ApiError::TooLarge { .. })));
}

#[test]
fn windows_that_would_hold_more_than_the_limit_are_refused() {
    // A zstd frame with a window of 128 MiB and an empty last block; the same with 8 MiB.
    let frame = |window| [0x28, 0xb5, 0x2f, 0xfd, 0x00, window, 0x01, 0x00, 0x00];
    assert!(matches!(decoded("zstd", &frame(17 << 3)), Err(ApiError::Garbled(_))));
    assert_eq!(decoded("zstd", &frame(13 << 3)).unwrap(), "");
    // One segment of 64 MiB, as it says.
    let one = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 4, 0x01, 0x00, 0x00];
    assert!(matches!(decoded("zstd", &one), Err(ApiError::TooLarge { .. })));
    // The mark of large windows, which is none of RFC 7932's.
    assert!(matches!(decoded("br", &[0x11, 0x1e, 0, 0, 0]), Err(ApiError::Garbled(_))));
}

#[test]
fn a_frame_whose_checksum_is_another_ones_is_refused() {
    let mut frame = zstd(TEXT);
    let last = frame.len() - 1;
    frame[last] ^= 1;
    assert!(matches!(decoded("zstd", &frame), Err(ApiError::Garbled("zstd"))));
}

#[test]
fn what_nobody_wants_any_more_is_not_unpacked() {
    let packed = gzip(TEXT);
    assert!(decode(&packed, Coding::Gzip, LIMIT, Weak::new()).is_err());
    let wanting = Arc::new(());
    let mut half = Wanted { packed: &packed[..], by: Arc::downgrade(&wanting) };
    assert_eq!(half.read(&mut [0; 4]).unwrap(), 4);
    drop(wanting);
    assert_eq!(half.read(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}
