//! `GET /openapi.json`. That every answer is as it says is seen to by the client of these tests.

use http::Method;

use crate::client::{Call, http};
use crate::stage::{Stage, play};

#[test]
fn the_description_needs_no_key_and_names_the_version() {
    play(async {
        let stage = Stage::on_mock(&[]).await;
        for path in ["/openapi.json", "/v1/openapi.json"] {
            let call = Call::get(path);
            let reply = call.open(&http(), &stage.proxy.address).await.rest().await;
            let document = reply.fine();
            assert_eq!(document["openapi"], "3.2.0");
            assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
            let head = stage.proxy.send(Call::new(Method::HEAD, path, "")).await;
            assert_eq!((head.status, head.body.as_str()), (200, ""));
            assert_eq!(head.header("content-length"), reply.body.len().to_string());
        }
    });
}
