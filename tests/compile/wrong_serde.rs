use callboard::functions;

struct Name(#[allow(dead_code)] String);

async fn greet(_name: Name) {}

fn main() {
    let _handlers = functions![greet];
}
