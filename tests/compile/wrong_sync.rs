use callboard::{call, functions};

fn greet(_name: String) {}

fn main() {
    let _call = call!(greet("Ada".to_owned()));
    let _handlers = functions![greet];
}
