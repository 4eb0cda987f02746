class DiskFull(Handler)
    pass
