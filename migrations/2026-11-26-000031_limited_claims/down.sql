drop function claim_limited(bigint, text, text[], integer[], bigint, bigint);
