use callboard::call;

async fn greet(_name: String, _times: u32) {}

fn main() {
    let _call = call!(greet(5, 2));
}
