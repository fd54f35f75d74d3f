case ":$ROS_PACKAGE_PATH:" in
  *":@(CMAKE_CURRENT_SOURCE_DIR)/uniros_msgs:"*) ;;
  *) export ROS_PACKAGE_PATH="@(CMAKE_CURRENT_SOURCE_DIR)/uniros_msgs:$ROS_PACKAGE_PATH" ;;
esac
