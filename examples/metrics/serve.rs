//! The metrics over HTTP, for Prometheus to scrape. An application has a web server for that.

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Gives the metrics to whoever connects, whatever it asks for.
pub(crate) async fn serve(
    listener: TcpListener,
    recorder: PrometheusHandle,
) -> Result<(), std::io::Error> {
    loop {
        let (stream, _) = listener.accept().await?;
        // Who asks and does not wait for the answer harms nobody.
        if let Err(error) = answer(stream, recorder.render()).await {
            eprintln!("nobody took the metrics: {error}");
        }
    }
}

async fn answer(mut stream: TcpStream, text: String) -> Result<(), std::io::Error> {
    // A request without a body comes in one piece, and all of it may be ignored.
    let _request = stream.read(&mut [0; 8192]).await?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
