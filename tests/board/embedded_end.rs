use std::net::TcpStream;

use callboard::{Board, Database, Queue};

use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_server_ends_with_the_board_that_used_it() {
    let database = Database::embedded().await.unwrap();
    let url: tokio_postgres::Config = database.embedded_url().unwrap().parse().unwrap();
    let server = ("127.0.0.1", url.get_ports()[0]);
    let board = Board::builder(database)
        .queue(Queue::new("default").workers(1))
        .start()
        .await
        .unwrap();
    TcpStream::connect(server).expect("the server runs");

    board.shutdown().await.unwrap();
    drop(board);
    eventually("the server is gone", || async {
        TcpStream::connect(server).is_err().then_some(())
    })
    .await;
}
