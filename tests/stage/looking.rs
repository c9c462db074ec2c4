//! What the snapshot of a tree tells of its stages.

use callboard::stage::{StageInfo, SubscribeOptions};

use crate::support::{counter, eventually, slow_recorder, tree};

#[tokio::test]
async fn the_snapshot_shows_where_the_bottleneck_is() {
    let (counter, _demands) = counter();
    let (slow, _record, permits) = slow_recorder("slow");
    let options = SubscribeOptions::new().max_demand(10).min_demand(5);
    let slow = slow.subscribe(counter.source(), options);
    let tree = tree([counter.child(), slow.child()]).await;
    let info = |id: &str| {
        let snapshot = tree.snapshot();
        let child = &snapshot.find(&[id]).unwrap().info;
        StageInfo::of(child).unwrap().clone()
    };
    eventually("ten wait", || info("slow").waiting == 10).await;
    let producer = info("counter");
    let [subscription] = &*producer.downstream else {
        panic!("{producer}");
    };
    assert_eq!((subscription.asked, subscription.delivered), (10, 10));
    assert_eq!(subscription.outstanding(), 0, "it is saturated");
    let text = "counter: buffered 0; counter → slow: 10 delivered, 0 outstanding";
    assert_eq!(producer.to_string(), text);
    let [upstream] = &*info("slow").upstream.clone() else {
        panic!("{}", info("slow"));
    };
    assert_eq!(
        (&*upstream.producer, &*upstream.consumer),
        ("counter", "slow")
    );
    let snapshot = tree.snapshot();
    let child = &snapshot.find(&["slow"]).unwrap().info;
    assert_eq!(
        child.detail.as_ref().unwrap().to_string(),
        info("slow").to_string()
    );
    assert_eq!(&*child.role, "consumer");
    permits.add_permits(10);
    tree.stop_and_wait("done", None).await.unwrap();
}
