//! What the wrong ones are compared with.

use callboard::{BoxError, Context, Outcome, call, functions};

async fn greet(_name: String, _times: u32) {}

async fn greet_with(_cx: &mut Context, _name: String) -> Result<Outcome, BoxError> {
    Ok(Outcome::Done)
}

fn main() {
    let _calls = [
        call!(greet("Ada".to_owned(), 2)),
        call!(greet_with("Ada".to_owned())),
    ];
    let _handlers = functions![greet, greet_with];
}
