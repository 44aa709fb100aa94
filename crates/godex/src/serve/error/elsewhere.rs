//! What helps somebody who asked for a path that is not here.

/// What there is.
const HERE: &str = "There are /v1/responses, /v1/chat/completions, /v1/models, /v1/usage, \
                    /v1/openapi.json, /health and /readyz.";

/// Parts of OpenAI's API that the backend has nothing for.
/// Source: <https://platform.openai.com/docs/api-reference>
const ABSENT: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "containers",
    "conversations",
    "embeddings",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "moderations",
    "realtime",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

/// A sentence for somebody who asked for `path`.
pub(super) fn advice(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|it| !it.is_empty()).collect();
    match parts.as_slice() {
        ["v1", "v1", ..] => {
            "The client adds /v1 to a base URL that ends in it: leave it out there.".to_owned()
        }
        ["v1", rest @ ..] | rest => match rest {
            ["completions", ..] => {
                "The Codex backend has no text completions: use /v1/chat/completions.".to_owned()
            }
            ["messages", ..] => "That is Anthropic's API. Use a client, or a setting of it, that \
                                 speaks OpenAI's: /v1/responses or /v1/chat/completions."
                .to_owned(),
            ["api", "chat" | "generate" | "tags" | "show" | "version", ..] => {
                "That is Ollama's API. Choose the provider 'OpenAI compatible' in the client, \
                 with a base URL that ends in /v1."
                    .to_owned()
            }
            ["responses", ..] => "Answers are not kept to be fetched or changed later; the next \
                                  request may name one as 'previous_response_id'."
                .to_owned(),
            ["chat", "completions", _, ..] => {
                "Chat completions are not stored, so there is none to fetch.".to_owned()
            }
            [part, ..] if ABSENT.contains(part) => format!(
                "The Codex backend has nothing for '{part}': give the client another provider \
                 for it."
            ),
            _ => HERE.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{ABSENT, HERE, advice};

    #[test]
    fn a_path_of_another_api_gets_what_helps() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            assert!(advice(path).contains(expected), "{path}: {}", advice(path));
        }
        check("/v1/v1/responses", "leave it out");
        check("/v1/completions", "/v1/chat/completions");
        check("/v1/messages", "Anthropic");
        check("/api/tags", "Ollama");
        check("/v1/responses/resp_1/input_items", "previous_response_id");
        check("/v1/chat/completions/chatcmpl-1", "not stored");
        for part in ABSENT {
            check(&format!("/v1/{part}"), &format!("'{part}'"));
            check(&format!("/{part}/x"), &format!("'{part}'"));
        }
        for path in ["/", "/v1", "/v2", "/healthx", "/api/nothing"] {
            assert_eq!(advice(path), HERE);
        }
    }
}
