use callboard::functions;

async fn greet(_name: String) -> u64 {
    5
}

fn main() {
    let _handlers = functions![greet];
}
