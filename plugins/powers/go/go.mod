module powers

go 1.24

require bandstand v0.0.0

replace bandstand => ../../sdk-go
