//! The head of a request as bytes, and bytes as the head of an answer (RFC 9112, 2 to 6).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};

use super::{Error, Framing};

/// The longest head of an answer, in bytes, and the most fields it may have.
const LONGEST: usize = 64 << 10;
const MOST_FIELDS: usize = 128;
/// The most interim answers before it.
const MOST_INTERIM: u32 = 100;

/// The head of `request`. A proxy is told the whole address.
pub(super) fn write(request: &Request<Bytes>, to_proxy: bool) -> Vec<u8> {
    let uri = request.uri();
    let mut head = Vec::with_capacity(1024);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend_from_slice(part));
    put(&[request.method().as_str().as_bytes(), b" "]);
    if to_proxy {
        put(&[b"http://", address(uri).as_bytes()]);
    }
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let root: &[u8] = if path.starts_with('/') { b"" } else { b"/" };
    put(&[root, path.as_bytes(), b" HTTP/1.1\r\n"]);
    if !request.headers().contains_key(HOST) {
        put(&[b"host: ", address(uri).as_bytes(), b"\r\n"]);
    }
    for (name, value) in request.headers() {
        put(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    let length = request.body().len();
    if length > 0 || !matches!(*request.method(), Method::GET | Method::HEAD) {
        put(&[b"content-length: ", length.to_string().as_bytes(), b"\r\n"]);
    }
    put(&[b"\r\n"]);
    head
}

/// Host and port, as they stand in `Host`: without a password, without the usual port.
fn address(uri: &Uri) -> &str {
    let Some(authority) = uri.authority() else { return "" };
    let all = authority.as_str();
    let named = all.rsplit_once('@').map_or(all, |(_, named)| named);
    let usual = if uri.scheme_str() == Some("https") { ":443" } else { ":80" };
    named.strip_suffix(usual).unwrap_or(named)
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection may carry another request after this answer.
    pub(super) reusable: bool,
}

/// A head, and what follows it.
type Found<Rest> = (Head, Rest);

/// Puts the head of an answer together.
pub(super) struct Heads {
    /// Whether the request was a `HEAD`, whose answer has no body whatever it says.
    bodiless: bool,
    /// What has come of it, if it came in pieces.
    held: Vec<u8>,
    /// How many interim answers have come before it.
    interim: u32,
}

impl Heads {
    /// For the answer to a request with this method.
    pub(super) fn new(method: &Method) -> Self {
        Self { bodiless: *method == Method::HEAD, held: Vec::new(), interim: 0 }
    }

    /// Takes what was read; the head and what follows it, once all of it is there. Interim
    /// answers are passed over.
    ///
    /// # Errors
    ///
    /// When it is no head, or a very large one, or interim answers do not end.
    pub(super) fn read<'i>(
        &mut self,
        input: &'i [u8],
    ) -> Result<Option<Found<Cow<'i, [u8]>>>, Error> {
        if self.held.is_empty() {
            return Ok(self.find(input)?.map(|(head, rest)| (head, Cow::Borrowed(rest))));
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        Ok(self.find(&held)?.map(|(head, rest)| (head, Cow::Owned(rest.to_vec()))))
    }

    /// The head in what has come, and what follows it; what there is of one is held.
    fn find<'i>(&mut self, mut come: &'i [u8]) -> Result<Option<Found<&'i [u8]>>, Error> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let mut parsed = httparse::Response::new(&mut fields);
            let found = parsed.parse(come).map_err(|_| Error::Malformed("the head"))?;
            let httparse::Status::Complete(length) = found else {
                if come.len() > LONGEST {
                    return Err(Error::Malformed("a head without end"));
                }
                come.clone_into(&mut self.held);
                return Ok(None);
            };
            let (head, rest) = come.split_at(length);
            let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
            let status = status.ok_or(Error::Malformed("the status"))?;
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(Error::Malformed("another protocol"));
            }
            if !status.is_informational() {
                let version =
                    if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
                let understood =
                    self.understand(status, version, headers(head, parsed.headers)?)?;
                return Ok(Some((understood, rest)));
            }
            come = rest;
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Err(Error::Malformed("interim answers without end"));
            }
        }
    }

    fn understand(
        &self,
        status: StatusCode,
        version: Version,
        headers: HeaderMap,
    ) -> Result<Head, Error> {
        let empty = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = if self.bodiless || empty { Framing::Length(0) } else { framing(&headers)? };
        let says = |word| says(&headers, word);
        let current = version == Version::HTTP_11;
        // Where a body ends that is told in a doubtful way, others may see differently.
        let doubtful = headers.contains_key(TRANSFER_ENCODING)
            && (!current || headers.contains_key(CONTENT_LENGTH));
        let lasts = !says("close") && (current || says("keep-alive"));
        let reusable = lasts && framing != Framing::UntilClosed && !doubtful;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = headers;
        Ok(Head { response, framing, reusable })
    }
}

/// The fields of a head. Their values share one copy of its bytes.
fn headers(head: &[u8], fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Error> {
    let copy = Bytes::copy_from_slice(head);
    let place = |value: &[u8]| {
        let start = value.as_ptr().addr().checked_sub(head.as_ptr().addr())?;
        Some(start..start + value.len()).filter(|it| it.end <= copy.len())
    };
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = place(field.value).map(|it| HeaderValue::from_maybe_shared(copy.slice(it)));
        let (Ok(name), Some(Ok(value))) = (name, value) else {
            return Err(Error::Malformed("a field of the head"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

/// How the body is delimited: by chunks before a length, by the end of the connection when
/// neither is given.
fn framing(headers: &HeaderMap) -> Result<Framing, Error> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let values = headers.get_all(TRANSFER_ENCODING).iter().rev();
        let mut codings = values.flat_map(|it| it.to_str().unwrap_or_default().rsplit(','));
        let last = codings.find(|it| !it.trim().is_empty()).unwrap_or_default();
        let chunked = last.trim().eq_ignore_ascii_case("chunked");
        return Ok(if chunked { Framing::chunked() } else { Framing::UntilClosed });
    }
    let mut length = None;
    for told in headers.get_all(CONTENT_LENGTH) {
        let told = told.to_str().unwrap_or_default();
        for told in told.split(',').map(str::trim) {
            let digits = !told.is_empty() && told.bytes().all(|it| it.is_ascii_digit());
            let told = told.parse().ok().filter(|_| digits);
            let told: u64 = told.ok_or(Error::Malformed("the content length"))?;
            if length.is_some_and(|length| length != told) {
                return Err(Error::Malformed("two content lengths"));
            }
            length = Some(told);
        }
    }
    Ok(length.map_or(Framing::UntilClosed, Framing::Length))
}

/// Whether `Connection` has this word.
fn says(headers: &HeaderMap, word: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        let words = value.to_str().unwrap_or_default().split(',');
        words.map(str::trim).any(|it| it.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests;
