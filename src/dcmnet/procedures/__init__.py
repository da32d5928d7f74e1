"""Every procedure of PS3.7 once, for both faces: generators that yield effects and never do any I/O."""
