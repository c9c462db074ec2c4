use callboard::functions;

struct Name(#[allow(dead_code, reason = "the argument is never made")] String);

async fn greet(_name: Name) {}

fn main() {
    let _handlers = functions![greet];
}
