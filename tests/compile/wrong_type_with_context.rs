use callboard::{Context, call};

async fn greet(_cx: &mut Context, _name: String) {}

fn main() {
    let _call = call!(greet(5));
}
