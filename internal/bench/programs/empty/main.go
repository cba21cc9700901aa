// Command empty does nothing: it costs what every Go program costs.
package main

func main() {}
