"""Detection of oil storage tanks in satellite images with MMDetection."""

import os

__version__ = "0.1.0"

# QGIS, conda and PostGIS set these variables to the data of their own GDAL and PROJ, which the wheels cannot read.
for _variable in ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "OGR_DRIVER_PATH"):
    os.environ.pop(_variable, None)
