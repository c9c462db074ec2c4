use std::rc::Rc;

use callboard::functions;

async fn greet(name: String) {
    let name = Rc::new(name);
    std::future::pending::<()>().await;
    drop(name);
}

fn main() {
    let _handlers = functions![greet];
}
