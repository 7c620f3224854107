module bandstand

go 1.24
