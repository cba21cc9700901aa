//go:build !linux

package bolt

import "os"

func takePlace(*os.File, int64) bool  { return true }
func leavePlace(*os.File, int64)      {}
func leavePlaces(*os.File)            {}
func placeTaken(*os.File, int64) bool { return false }
